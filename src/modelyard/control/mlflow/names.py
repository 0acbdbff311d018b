"""From a name in MLflow's registry to the platform's name of the model.

A name that is a model's name here as it stands keeps it ("iris" -> "iris"). Any other becomes what is left of it,
a hyphen, an x and 16 digits of its sha256 ("My Model" -> "my-model-x3c0f..."). A name that ends in such digits by
itself is treated as any other, so no two names become the same.
"""

import re
from typing import Final

from modelyard.control.services.names import is_name
from modelyard.errors import InvalidInput
from modelyard.files import sha256_bytes

_MARKED: Final = re.compile(r".*-x[0-9a-f]{16}")
_DIGITS: Final = 16
_KEPT: Final = 63 - len("-x") - _DIGITS
_LONGEST: Final = 250
_LONGEST_ALIAS: Final = 255
_ALIAS: Final = re.compile(r"[\w-]+", re.ASCII)
_VERSION_LIKE: Final = re.compile(r"[vV]\d+")


def platform_name(name: str) -> str:
    """One of `control.services.names`, another one for each name."""
    if is_name(name) and not _MARKED.fullmatch(name):
        return name
    return marked_name(name, name)


def marked_name(name: str, told_apart_by: str) -> str:
    """What is left of a name, and digits."""
    left = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:_KEPT] or "model"
    return f"{left}-x{sha256_bytes(told_apart_by.encode())[:_DIGITS]}"


def check_registered(name: str) -> str:
    """Raises InvalidInput for what MLflow's registry takes for no name, and for what could not be stored."""
    bad = not name.strip() or len(name) > _LONGEST or any(c in name for c in "/:")
    if bad or not name.isprintable() or any("\ud800" <= c <= "\udfff" for c in name):
        raise InvalidInput(f"Invalid model name: {ascii(name)[:300]}", allowed="text without '/' and ':'")
    return name


def check_alias(alias: str) -> str:
    """Raises InvalidInput."""
    reserved = alias.lower() == "latest" or _VERSION_LIKE.fullmatch(alias)
    if reserved or len(alias) > _LONGEST_ALIAS or not _ALIAS.fullmatch(alias):
        raise InvalidInput(f"Invalid alias name: {ascii(alias)[:300]}",
                           allowed="letters, digits, '_' and '-'; neither 'latest' nor as 'v1'")  # fmt: skip
    return alias
