"""NAME=VALUE arguments."""

from collections.abc import Iterable

from modelyard.errors import InvalidInput


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """{"NAME": "VALUE"}. Raises InvalidInput for what has no "=" or names one thing twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(f"{option} takes NAME=VALUE", came=text)
        if name.strip() in found:
            raise InvalidInput(f"{option} names {name.strip()!r} twice", came=text)
        found[name.strip()] = value.strip()
    return found


def numbers(texts: Iterable[str], option: str) -> dict[str, float]:
    """{"NAME": number}. Raises InvalidInput."""
    found = pairs(texts, option)
    try:
        return {name: float(value) for name, value in found.items()}
    except ValueError as error:
        raise InvalidInput(f"{option} takes NAME=NUMBER", came=", ".join(found.values())) from error
