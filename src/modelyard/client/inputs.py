"""What a caller gives to `predict`, as the body that the Hugging Face dialect takes."""

import base64
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modelyard.client.transport import Request
from modelyard.errors import InvalidInput

_JSON = {"Content-Type": "application/json"}
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
_SOUNDS = (".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".webm")
_BYTES = {"Content-Type": "application/octet-stream"}


def request_for(name: str, value: Any, parameters: Mapping[str, Any] | None = None) -> Request:
    """`value`: bytes or the path of an image or a sound; a dict of columns or of one row; a list of rows or of
    images.

    Raises InvalidInput for what is none of these.
    """
    path = f"/models/{quote(name, safe='@:')}"
    value = _path_of_file(value)
    if isinstance(value, bytes | bytearray | os.PathLike) and not parameters:
        data = _image(value)
        return Request(method="POST", path=path, content=lambda: data, headers=_BYTES)
    body: dict[str, Any] = {"inputs": _inputs(value)}
    if parameters:
        body["parameters"] = dict(parameters)
    try:
        encoded = json.dumps(body, allow_nan=False, default=_plain).encode()
    except ValueError as error:
        raise InvalidInput("numbers must be finite; null is a missing value", came=str(error)) from error
    return Request(method="POST", path=path, content=lambda: encoded, headers=_JSON)


def _path_of_file(value: Any) -> Any:
    """Text that names an image or a sound that is there means that file; other text is what a task of texts is
    asked."""
    if isinstance(value, str) and value.lower().endswith((*_IMAGES, *_SOUNDS)) and Path(value).is_file():
        return Path(value)
    return value


def _inputs(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bytes | bytearray | os.PathLike):
        return base64.b64encode(_image(value)).decode()
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {"data": _columns(value)}
    if isinstance(value, Sequence) and value:
        return _many(value)
    raise InvalidInput(
        "this is no input", came=type(value).__name__, allowed="bytes, a path, a text, a dict, a list"
    )


def _many(rows: Sequence[Any]) -> Any:
    if all(isinstance(r, Mapping) for r in rows):
        names = list(rows[0])
        if any(set(r) != set(names) for r in rows):
            raise InvalidInput("all rows must have the same columns", allowed=names)
        return {"data": {n: [_cell(r[n]) for r in rows] for n in names}}
    if all(isinstance(r, bytes | bytearray | os.PathLike | str) for r in rows):
        return [_inputs(r) for r in rows]
    return rows


def _columns(value: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Columns as they are; plain values are one row."""
    return {str(k): _listed(v) for k, v in value.items()}


def _listed(value: Any) -> list[Any]:
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, pandas columns
        value = value.tolist()
    return [_cell(v) for v in (value if isinstance(value, list | tuple) else [value])]


def _cell(value: Any) -> Any:
    """NaN is how NumPy and pandas say that a value is missing."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _image(value: bytes | bytearray | os.PathLike[str]) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise InvalidInput(f"this file cannot be read: {error.strerror}", came=os.fspath(value)) from error


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise InvalidInput("this value has no JSON form", came=type(value).__name__)
