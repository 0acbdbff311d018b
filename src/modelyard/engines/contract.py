"""What an engine is. An engine's module has `create(path, tensors, options) -> Engine`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from modelyard.types.tensor import Signature

Array = NDArray[Any]
Tensors = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """`threads`: compute threads inside one `run`. Two replicas of one thread beat one replica of two."""

    threads: int = 1


class Engine(Protocol):
    """Executes one model. Not asked to be thread-safe: one caller at a time."""

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Named tensors in, named tensors out, as the package's `tensors` says; the first axis is the batch.

        Raises:
            InvalidInput: a name, dtype or shape that the model does not take.
        """
        ...


class Create(Protocol):
    """Opens the file at `path` as an engine that is fed and answers `tensors`."""

    def __call__(self, path: Path, tensors: Signature, options: EngineOptions) -> Engine: ...
