"""Model cards in Hugging Face's form: Markdown with a header of YAML (huggingface.co/docs/hub/model-cards)."""

from typing import Any, Final

from modelyard.errors import InvalidInput, TooLarge

CARD_BYTES: Final = 256 << 10
_HEADER_BYTES: Final = 64 << 10
_MOST_NODES: Final = 5_000
_MARK: Final = "---"
_TEXTS: Final = (
    "license",
    "license_name",
    "license_link",
    "library_name",
    "pipeline_tag",
    "model_name",
    "inference",
)
_LISTS: Final = ("language", "tags", "datasets", "metrics", "base_model")


def check_card(text: str) -> dict[str, Any]:
    """The header of a card that may be kept. Raises InvalidInput, saying which field is not as it should be, and
    TooLarge."""
    if len(text.encode()) > CARD_BYTES:
        raise TooLarge("the card is too large", allowed=f"{CARD_BYTES} bytes")
    if "\0" in text:
        raise InvalidInput("a card is text", came="NUL")
    header = read_header(text)
    for key in _TEXTS:
        if key in header and not isinstance(header[key], str | bool):
            raise InvalidInput(f"the card's {key}", came=header[key], allowed="text")
    for key in _LISTS:
        value = header.get(key, [])
        if not isinstance(value, str) and not (
            isinstance(value, list) and all(isinstance(v, str) for v in value)
        ):
            raise InvalidInput(f"the card's {key}", came=value, allowed="text, or a list of texts")
    _check_index(header.get("model-index", []))
    return header


def read_header(text: str) -> dict[str, Any]:
    """The YAML between the first two lines of ---; {} where there is none. Raises InvalidInput for YAML that
    cannot be read, that is large, or that has aliases (which can be a bomb)."""
    import yaml

    lines = text.lstrip("\ufeff").splitlines()
    if not lines or lines[0].strip() != _MARK:
        return {}
    try:
        end = next(n for n, line in enumerate(lines[1:], 1) if line.strip() == _MARK)
    except StopIteration:
        raise InvalidInput("the card's header does not end", allowed="a line of ---") from None
    header = "\n".join(lines[1:end])
    if len(header.encode()) > _HEADER_BYTES:
        raise TooLarge("the card's header is too large", allowed=f"{_HEADER_BYTES} bytes")
    try:
        _check_events(yaml.parse(header, Loader=yaml.SafeLoader))
        found = yaml.safe_load(header)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidInput(
            "the card's header is no YAML that can be read", came=type(error).__name__
        ) from None
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(k, str) for k in found):
        raise InvalidInput("the card's header", came=type(found).__name__, allowed="names and values")
    return found


def licence_of(data: bytes) -> str | None:
    """The licence that a card names, if any."""
    try:
        licence = read_header(data.decode("utf-8", "replace")).get("license")
    except InvalidInput:
        return None
    return licence[:100] if isinstance(licence, str) and licence.isprintable() else None


def write_card(header: dict[str, Any], body: str) -> str:
    """A card of a header and its text."""
    import yaml

    said = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=100)
    return f"{_MARK}\n{said}{_MARK}\n\n{body}"


def _check_events(events: Any) -> None:
    import yaml

    for count, event in enumerate(events):
        if isinstance(event, yaml.AliasEvent):
            raise InvalidInput(
                "the card's header has an alias",
                came=f"*{event.anchor}"[:100],
                allowed="YAML without aliases",
            )
        if count > _MOST_NODES:
            raise TooLarge("the card's header has too many values", allowed=_MOST_NODES)


def _check_index(index: Any) -> None:
    good = isinstance(index, list) and all(
        isinstance(m, dict) and isinstance(m.get("name"), str) for m in index
    )
    if not good or any(not isinstance(m.get("results", []), list) for m in index):
        raise InvalidInput("the card's model-index", allowed="a list of {name, results}")
