"""Between a task and a model that was brought: the task's arrays into the model's own tensors, and back."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from modelyard.engines.contract import Array, Tensors
from modelyard.errors import InvalidInput
from modelyard.types.package import Adapter, InputAdapter, OutputAdapter
from modelyard.types.tensor import DATATYPES, Signature

Feed = Callable[[Tensors], Array]
Answer = Callable[[Tensors], Array]


class Adapted:
    """An adapter made ready for many calls. `tensors` are the engine's."""

    def __init__(self, adapter: Adapter, tensors: Signature) -> None:
        dtypes = {t.name: np.dtype(DATATYPES[t.datatype]) for t in tensors.inputs}
        self._feeds = {i.name: _feed(i, dtypes[i.name]) for i in adapter.inputs}
        self._answers = {o.name: _answer(o) for o in adapter.outputs}

    def feed(self, arrays: Tensors) -> dict[str, Array]:
        """The arrays of the signature's inputs as the engine's tensors. Raises InvalidInput."""
        try:
            return {name: feed(arrays) for name, feed in self._feeds.items()}
        except KeyError as error:
            raise InvalidInput("an input is missing", came=sorted(arrays), allowed=str(error)) from None

    def answer(self, outputs: Tensors) -> dict[str, Array]:
        """The engine's outputs as the task's."""
        return {name: answer(outputs) for name, answer in self._answers.items()}


def _feed(spec: InputAdapter, dtype: np.dtype[np.generic]) -> Feed:
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    scaled = bool(np.any(mean != 0) or np.any(std != 1))
    arrange = _ARRANGE[spec.layout]

    def feed(arrays: Tensors) -> Array:
        array = arrange([arrays[name] for name in spec.sources])
        if scaled:
            array = (array.astype(np.float32) - mean) / std
        array = _placed(array, spec.layout)
        return array if array.dtype == dtype else array.astype(dtype)

    return feed


def _placed(array: Array, layout: str) -> Array:
    """Pixels [rows, height, width, channels], scaled, in the model's own layout."""
    if layout == "NCHW":
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    if layout == "NHW":
        return array[..., 0]
    return array.reshape(len(array), -1) if layout == "flat" else array


def _one(arrays: list[Array]) -> Array:
    return arrays[0]


def _columns(arrays: list[Array]) -> Array:
    _check_rows(arrays)
    return np.stack(arrays, axis=1)


def _column(arrays: list[Array]) -> Array:
    return arrays[0].reshape(-1, 1)


def _check_rows(arrays: list[Array]) -> None:
    if len({len(a) for a in arrays}) > 1:
        raise InvalidInput("columns need the same number of rows", came=sorted({len(a) for a in arrays}))


_ARRANGE: Final[Mapping[str, Callable[[list[Array]], Array]]] = {
    **dict.fromkeys(("same", "NHWC", "NCHW", "NHW", "flat"), _one),
    "columns": _columns,
    "column": _column,
}


def _answer(spec: OutputAdapter) -> Answer:
    if spec.activation == "label":
        places = {text: k for k, text in enumerate(spec.classes)}
        return lambda outputs: _chosen(outputs[spec.source], places)
    turn = _TURN[spec.activation]
    return lambda outputs: turn(outputs[spec.source])


def _chosen(answers: Array, places: Mapping[str, int]) -> Array:
    probabilities = np.zeros((len(answers), len(places)), np.float32)
    texts = [a.decode() if isinstance(a, bytes) else str(a) for a in answers.ravel().tolist()]
    probabilities[np.arange(len(texts)), [places[text] for text in texts]] = 1
    return probabilities


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def _binary(probability: Array) -> Array:
    positive = probability.reshape(-1).astype(np.float32)
    return np.stack([1 - positive, positive], axis=1)


def _sigmoid(logit: Array) -> Array:
    value = np.clip(
        logit.astype(np.float64), -700, 700
    )  # beyond, exp overflows and the answer is 0 or 1 anyway
    return _binary(1 / (1 + np.exp(-value)))


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)[:, 0].astype(np.float32)


_TURN: Final[Mapping[str, Callable[[Array], Array]]] = {
    "none": lambda array: array,
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "binary": _binary,
    "flat": _flat,
}
