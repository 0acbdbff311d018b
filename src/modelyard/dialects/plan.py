"""A signature made ready for parsing: what each input must be, and the decoder that suits them all."""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.types.tensor import DATATYPES, Signature, TensorSpec

MAX_RANK: Final = 16


class Input:
    """One input of the signature. `dtype` is little-endian, and object for BYTES."""

    __slots__ = ("datatype", "dtype", "name", "rank", "shape", "tail")

    def __init__(self, spec: TensorSpec) -> None:
        self.name = spec.name
        self.datatype = spec.datatype
        self.dtype: npt.DTypeLike = np.dtype(DATATYPES[spec.datatype])
        self.shape = spec.shape
        self.rank = len(spec.shape)
        self.tail = list(spec.shape[1:]) if -1 not in spec.shape[1:] else None

    def count(self, shape: list[int]) -> int:
        """Elements of a tensor of this shape.

        Raises:
            InvalidInput: a shape that the model does not take.
        """
        if len(shape) != self.rank or shape[0] < 1 or (shape[1:] != self.tail and not self._fits(shape)):
            raise InvalidInput(
                f"input {self.name!r} has a wrong shape",
                came=shape[:MAX_RANK],
                allowed=str(list(self.shape)),
            )
        return math.prod(shape)  # of Python's integers, which do not overflow

    def _fits(self, shape: list[int]) -> bool:
        return all(came >= 1 and wanted in (-1, came) for came, wanted in zip(shape, self.shape, strict=True))


class Plan:
    """`flat` says what all inputs hold when they are JSON numbers: "int", "float", or None for anything
    else."""

    __slots__ = ("flat", "inputs", "names", "outputs")

    def __init__(self, signature: Signature) -> None:
        self.inputs = {spec.name: Input(spec) for spec in signature.inputs}
        self.names = list(self.inputs)
        self.outputs = {spec.name: spec for spec in signature.outputs}
        kinds = {_number_kind(spec.datatype) for spec in signature.inputs}
        self.flat: str | None = kinds.pop() if len(kinds) == 1 else None

    def input(self, name: str) -> Input:
        """Raises InvalidInput naming what there is."""
        found = self.inputs.get(name)
        if found is None:
            raise InvalidInput("no such input", came=name, allowed=self.names)
        return found


def _number_kind(datatype: str) -> str | None:
    if datatype.startswith(("INT", "UINT")):
        return "int"
    return "float" if datatype.startswith("FP") else None


def flags(parameters: dict[str, Any], name: str) -> bool | None:
    """A parameter that must be true or false; None where it is absent. Raises InvalidInput."""
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidInput(f"parameter {name!r} must be true or false", came=value)
