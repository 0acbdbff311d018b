"""Names that users give, and references to versions, as docs/architecture.md writes them."""

import re
from dataclasses import dataclass
from typing import Final

from modelyard.errors import InvalidInput, NotFound
from modelyard.types.package import NAME, NAME_RULE

_NAME: Final = re.compile(NAME)
_ID: Final = re.compile(r"[a-z]{2,12}_[0-9a-z]{26}")
_DIGEST: Final = re.compile(r"[0-9a-f]{8,64}")
_LARGEST_NUMBER_DIGITS: Final = 7  # eight digits or more are the beginning of a digest
RULE: Final = NAME_RULE


@dataclass(frozen=True, kw_only=True)
class Selector:
    """Which version: exactly one of the fields, or none of them for the newest."""

    number: int | None = None
    alias: str | None = None
    digest: str | None = None


def is_name(text: str) -> bool:
    """Whether something here may be called so."""
    return _NAME.fullmatch(text) is not None


def check_name(kind: str, name: str) -> str:
    """The name, where it may be given to something. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"not a name for a {kind}", came=name, allowed=RULE)
    return name


def known_name(kind: str, name: str) -> str:
    """The name of something that may be there. Raises NotFound for what can be no name."""
    if not _NAME.fullmatch(name):
        raise NotFound(f"there is no such {kind}")
    return name


def known_id(kind: str, text: str) -> str:
    """An id that may be there. Raises NotFound for what can be no id."""
    if not _ID.fullmatch(text):
        raise NotFound(f"there is no such {kind}")
    return text


def read_selector(text: str) -> Selector:
    """ "3", "latest", "@alias" or 8 and more digits of a digest. Raises InvalidInput."""
    if text == "latest":
        return Selector()
    if text.isascii() and text.isdigit() and len(text) <= _LARGEST_NUMBER_DIGITS:
        return Selector(number=int(text))
    if text.startswith("@") and _NAME.fullmatch(text[1:]):
        return Selector(alias=text[1:])
    if _DIGEST.fullmatch(text):
        return Selector(digest=text)
    raise InvalidInput(
        "not a version", came=text, allowed="3, latest, @alias, 8 or more digits of its sha256"
    )


def read_reference(text: str) -> tuple[str, Selector]:
    """ "name", "name:3", "name:latest", "name:1f2e3d4c" or "name@alias". Raises InvalidInput."""
    name, at, alias = text.partition("@")
    if at:
        return check_name("version's owner", name), read_selector(f"@{alias}")
    name, colon, version = text.partition(":")
    return check_name("version's owner", name), read_selector(version) if colon else Selector()
