"""Named tensors. Datatypes are named as the Open Inference Protocol names them."""

from typing import Final

from msgspec import Struct

DATATYPES: Final[dict[str, str]] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",  # elements are bytes
}
"""Open Inference Protocol datatype -> NumPy dtype name."""


class TensorSpec(Struct, frozen=True, kw_only=True):
    """One named tensor. `shape` has -1 for a free axis; the first axis is the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Signature(Struct, frozen=True, kw_only=True):
    """What goes in and what comes out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
