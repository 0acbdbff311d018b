"""Reading a requirements file: names, versions, extras, markers and hashes (PEP 508), and nothing that reaches
elsewhere: no options, addresses, paths or other files."""

import hashlib
import re
import sys
import sysconfig
from pathlib import Path
from typing import Final

from modelyard.errors import InvalidInput, TooLarge

MOST_LINES: Final = 200
_MOST_CHARACTERS: Final = 64 << 10
_OWN: Final = "modelyard"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_HASH: Final = re.compile(r"\s--hash=(sha(?:256|384|512)):([0-9a-f]{64,128})(?=\s|$)")
_ALLOWED: Final = (
    "lines as 'name', 'name==1.2', 'name[extra]>=1,<2 ; python_version >= \"3.11\"', with --hash"
)


def check(text: str) -> None:
    """Raises InvalidInput naming the line that is no requirement, TooLarge for too many of them."""
    lines(text)


def digest(text: str) -> str:
    """Hex sha256 of what makes the environment: the requirements in any order, Python's version, and the kind of
    machine. Raises as `check`."""
    made_of = [sys.implementation.cache_tag or "python", sysconfig.get_platform(), *lines(text)]
    return hashlib.sha256("\n".join(made_of).encode()).hexdigest()


def read_file(path: Path) -> str:
    """A requirements file's text, as much of it as is looked at. Raises OSError."""
    with path.open("rb") as file:
        return file.read(_MOST_CHARACTERS + 1).decode(errors="replace")


def is_digest(text: str) -> bool:
    """Whether it has the form of an environment's digest: it becomes part of a path."""
    return _DIGEST.fullmatch(text) is not None


def lines(text: str) -> tuple[str, ...]:
    """The requirements in one way of writing them, sorted, each once. Raises as `check`."""
    if len(text) > _MOST_CHARACTERS:
        raise TooLarge(
            "the requirements are too long", came=f"{len(text)} characters", allowed=_MOST_CHARACTERS
        )
    found = {_line(number, line) for number, line in _logical(text)}
    if len(found) > MOST_LINES:
        raise TooLarge("too many requirements", came=len(found), allowed=MOST_LINES)
    return tuple(sorted(found))


def _logical(text: str) -> list[tuple[int, str]]:
    """Lines without comments, those that end in a backslash joined with the next; with their numbers from 1."""
    joined: list[tuple[int, str]] = []
    begun, started = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        started = started if begun else number
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        joined.append((started, begun + line))
        begun = ""
    if begun:
        joined.append((started, begun))
    bare = ((number, _COMMENT.sub("", line).strip()) for number, line in joined)
    return [(number, line) for number, line in bare if line]


def _line(number: int, line: str) -> str:
    """One requirement as it is compared and handed to pip."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    hashes = sorted(f"--hash={kind}:{value}" for kind, value in _HASH.findall(line))
    bare = _HASH.sub("", line).strip()
    if not bare.isprintable() or bare.startswith("-"):
        raise _refused(number, line, "is an option" if bare.startswith("-") else "is not plain text")
    try:
        requirement = Requirement(bare)
    except InvalidRequirement:
        raise _refused(number, line, "is not a requirement") from None
    if requirement.url is not None:
        raise _refused(number, line, "names an address")
    name = canonicalize_name(requirement.name)
    if name == _OWN:
        raise _refused(number, line, "names the platform itself, which is there already")
    extras = f"[{','.join(sorted(map(canonicalize_name, requirement.extras)))}]" if requirement.extras else ""
    versions = ",".join(sorted(str(one) for one in requirement.specifier))
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return " ".join([f"{name}{extras}{versions}{marker}", *hashes])


def _refused(number: int, line: str, why: str) -> InvalidInput:
    return InvalidInput(f"line {number} of the requirements {why}", came=line, allowed=_ALLOWED)
