"""What a path asks of a request before a route sees it: the scope of its key, how its body comes.

Closed by default: what is not named here is an admin's, and its body is JSON of at most 1 MiB.
"""

import re
from typing import Final

from modelyard.control import openai
from modelyard.control.mlflow import speaks

OPEN: Final = frozenset({"/api/v1/health", "/openapi.json", "/version"})
JSON_BYTES: Final = 1 << 20
TRACKED_BYTES: Final = 4 << 20  # a batch of metrics, the profile of a data set
_STREAMED: Final = re.compile(
    r"/api/2\.0/mlflow-artifacts/artifacts/.+|/api/v1/runs/[^/]+/artifacts/.+|/api/v1/uploads/sessions/[^/]+",
    re.DOTALL,
)
_TRACKED: Final = re.compile(r"/api/v1/runs/(external|[^/]+/(metrics|end|artifacts(/.+)?))")


def scope_of(path: str) -> str:
    """The scope that a key needs, where it is no admin's. A fine-tuning job is a run that a client starts."""
    if path.startswith((openai.FILES, openai.BATCHES)):
        return "predict"
    tracked = speaks(path) or path.startswith(openai.FINE_TUNING) or _TRACKED.fullmatch(path)
    return "track" if tracked else "admin"


def json_bytes(path: str) -> int:
    """The most bytes of a JSON body."""
    return TRACKED_BYTES if scope_of(path) == "track" else JSON_BYTES


def streams(method: str, path: str) -> bool:
    """Whether the body is a file, which a route reads by itself."""
    return (method == "PUT" and _STREAMED.fullmatch(path) is not None) or (
        method == "POST" and path == openai.FILES
    )
