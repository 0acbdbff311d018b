"""Why a library failed, in one line for the one who brought a model."""

import re
from typing import Final

from modelyard.errors import ModelyardError

_LONGEST: Final = 300
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_PATHS: Final = re.compile(r"(?:/[\w.+-]+){2,}")


def reason(error: BaseException) -> str:
    """Ours as it is; of a library's, the first line of what lies at its root, without colours and paths."""
    if isinstance(error, ModelyardError):
        return error.message[:_LONGEST]
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    lines = [line for line in _COLOURS.sub("", str(root)).splitlines() if line.strip()]
    text = f"{type(root).__name__}: {lines[0].strip()}" if lines else type(root).__name__
    return _PATHS.sub("(a file)", text)[:_LONGEST]
