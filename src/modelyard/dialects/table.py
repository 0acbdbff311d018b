"""Which dialects there are. Gateway and replica number them alike, by their place here."""

from typing import Final

from modelyard.dialects.contract import Dialect, Match
from modelyard.dialects.huggingface import HuggingFace
from modelyard.dialects.open_inference import OpenInference
from modelyard.dialects.openai import OpenAI

_PREFIXES: Final = {"/v2": 0, "/models": 1, "/v1": 2}

DIALECTS: Final[tuple[Dialect, ...]] = (OpenInference(0), HuggingFace(1), OpenAI(2))


def match(method: str, path: str) -> Match | None:
    """Where a request goes; None where no dialect knows the path. `path` is as it came, not decoded: no
    name that we give needs escapes."""
    for dialect in DIALECTS:
        if found := dialect.match(method, path):
            return found
    return None


def of_path(path: str) -> Dialect | None:
    """Whose error shape a path gets, known or not."""
    if path.startswith("/models/") and "/v1/" in path:
        return DIALECTS[_PREFIXES["/v1"]]
    for prefix, number in _PREFIXES.items():
        if path == prefix or path.startswith(prefix + "/"):
            return DIALECTS[number]
    return None
