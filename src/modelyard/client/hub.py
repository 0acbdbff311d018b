"""Sources on the Hugging Face hub, as users write them. The platform fetches them, not the client."""

import re
from typing import Final

from modelyard.errors import InvalidInput

PREFIX: Final = "hf:"
_SOURCE: Final = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+(/[^@]+)?)(@(?P<revision>[^@\s]+))?")


def read_source(text: str) -> tuple[str, str | None]:
    """ "hf:ORG/NAME", "hf:ORG/NAME@REVISION" or "hf:ORG/NAME/FILE" as name and revision. Raises InvalidInput."""
    found = _SOURCE.fullmatch(text)
    if found is None:
        raise InvalidInput(
            "not a model of the hub", came=text, allowed="hf:ORG/NAME, hf:ORG/NAME@REVISION, hf:ORG/NAME/FILE"
        )
    return found["name"], found["revision"]
