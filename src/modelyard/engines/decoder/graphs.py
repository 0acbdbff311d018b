"""The graphs of a decoder, opened: one call is one step of many rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.engines import onnx
from modelyard.engines.contract import Array, EngineOptions
from modelyard.errors import InvalidInput
from modelyard.types.decoder import DecoderFile, State
from modelyard.types.tensor import Signature, TensorSpec

NEW: Final = "new."
TYPES: Final = {"FP32": np.float32, "INT64": np.int64}
_INT64: Final = "INT64"


class Graphs:
    """`file` says what they are; each is safe to be run from several threads."""

    def __init__(self, folder: Path, file: DecoderFile, threads: int) -> None:
        self.file = file
        self.appended = [state for state in file.state if state.kind == "appended"]
        self.replaced = [state for state in file.state if state.kind == "replaced"]
        self.constant = [state for state in file.state if state.kind == "constant"]
        options = EngineOptions(threads=threads)
        self._step = onnx.open_whole(folder / file.step, step_signature(file), options)
        self._encode = (
            None
            if file.encode is None
            else onnx.open_whole(folder / file.encode, encode_signature(file), options)
        )

    def step(self, tokens: Array, lengths: Array, states: Mapping[str, Array]) -> dict[str, Array]:
        """`logits` [rows, n, vocabulary] and the states that changed, by their own names."""
        found = self._step.run({"tokens": tokens, "lengths": lengths, **states})
        return {name.removeprefix(NEW): array for name, array in found.items()}

    def encode(self, source: Sequence[int]) -> dict[str, Array]:
        """States of one row that are there before its first step."""
        if self._encode is None:
            return {}
        tokens = np.array([source], np.int64)
        return self._encode.run({"source": tokens, "source_lengths": np.array([len(source)], np.int64)})


def open_graphs(path: Path, threads: int) -> Graphs:
    """Those of the decoder.json at `path`. Raises InvalidInput, NotAllowedFormat, MissingExtra."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=DecoderFile)
    except (OSError, msgspec.MsgspecError):
        raise InvalidInput(f"{path.name} does not describe a decoder") from None
    for name, suffix in (
        (file.step, ".onnx"),
        (file.encode or ".onnx", ".onnx"),
        (file.tokenizer.removeprefix("../"), ".json"),
    ):
        if "/" in name or "\\" in name or not name.endswith(suffix):
            raise InvalidInput(f"{path.name} names a file that is none of its own", came=name)
    if not (file.context > 1 and file.chunk > 0 and file.vocabulary > 1):
        raise InvalidInput(f"{path.name} says sizes that cannot be")
    for state in file.state:
        free, known = state.shape.count(-1), {"appended": (1,), "replaced": (0,), "constant": (0, 1)}
        if free not in known[state.kind] or any(size < -1 for size in state.shape):
            raise InvalidInput(f"{path.name} says a state that cannot be", came=state.name)
    return Graphs(path.parent, file, threads)


def step_signature(file: DecoderFile) -> Signature:
    """Names and shapes of step.onnx."""
    changed = [state for state in file.state if state.kind != "constant"]
    return Signature(
        inputs=(
            TensorSpec(name="tokens", datatype=_INT64, shape=(-1, -1)),
            TensorSpec(name="lengths", datatype=_INT64, shape=(-1,)),
            *(_spec(state, state.name) for state in file.state),
        ),
        outputs=(
            TensorSpec(name="logits", datatype="FP32", shape=(-1, -1, file.vocabulary)),
            *(_spec(state, NEW + state.name) for state in changed),
        ),
    )


def encode_signature(file: DecoderFile) -> Signature:
    """Names and shapes of encode.onnx."""
    made = [state for state in file.state if state.kind != "appended"]
    return Signature(
        inputs=(
            TensorSpec(name="source", datatype=_INT64, shape=(-1, -1)),
            TensorSpec(name="source_lengths", datatype=_INT64, shape=(-1,)),
        ),
        outputs=tuple(_spec(state, state.name) for state in made),
    )


def empty(state: State, free: int) -> Array:
    """One row of it with so many places along the free axis."""
    shape = tuple(free if size < 0 else size for size in state.shape)
    made: Array = np.zeros((1, *shape), TYPES[state.datatype])
    return made


def free_axis(state: State) -> int | None:
    """Of an array with rows before it; None where there is none."""
    return state.shape.index(-1) + 1 if -1 in state.shape else None


def _spec(state: State, name: str) -> TensorSpec:
    datatype: Any = state.datatype
    return TensorSpec(name=name, datatype=datatype, shape=(-1, *state.shape))
