"""Golden inputs from an example: enough rows to see batches by, and other lengths where an axis is free."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from modelyard.conversion.reasons import reason
from modelyard.errors import InvalidInput, ModelyardError
from modelyard.packages.golden import ROWS, Array, GoldenSet

LEAST_ROWS: Final = 4
_VALUES: Final = 4_000_000  # elements of all golden inputs, so that a package stays small
Ask = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""The framework's own answers, batch first."""


def drawn(shape: Sequence[int | None], dtype: Any, *, rows: int = 8, length: int = 8, seed: int = 0) -> Array:
    """Seeded values where nothing else is known: fractions in 0..1, bytes in 0..255, "a" for texts. Other whole
    numbers are 0 and 1: an index of a table must be there. Axes without a length (None, -1) get `length`, the first
    one `rows`."""
    whole = (rows, *(length if size is None or size < 0 else size for size in shape[1:]))
    kind, draw = np.dtype(dtype), np.random.default_rng(seed)
    if kind.kind == "O":
        return np.full(whole, b"a", object)
    if kind.kind == "f":
        return draw.random(whole).astype(kind)
    return draw.integers(0, 256 if kind == np.uint8 else 2, whole).astype(kind)


def enough_rows(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """At most 64 rows, and at least 4: an example of one row is rolled along its values, which keeps their
    range. Raises InvalidInput for inputs without rows."""
    counts = {name: len(a) if a.ndim else 0 for name, a in inputs.items()}
    if not counts or len(set(counts.values())) > 1 or 0 in counts.values():
        raise InvalidInput("an example needs one or more rows, as many of each input", came=counts)
    most = max(LEAST_ROWS, min(ROWS, _VALUES // max(1, sum(a[0].size for a in inputs.values()))))
    return {name: _rows(a[:most]) for name, a in inputs.items()}


def golden_sets(inputs: Mapping[str, Array], free: Mapping[str, Sequence[int]], ask: Ask) -> list[GoldenSet]:
    """The example as it is, then at two other lengths of its free axes, where the model takes them."""
    try:
        sets: list[GoldenSet] = [(inputs, ask(inputs))]
    except ModelyardError:
        raise
    except Exception as error:  # of whatever framework
        shapes = {name: f"{a.dtype} {list(a.shape)}" for name, a in inputs.items()}
        raise InvalidInput(f"the model does not take this example: {reason(error)}", came=shapes) from error
    for change in (_longer, _shorter) if any(free.values()) else ():
        other = {name: _resized(a, free.get(name, ()), change) for name, a in inputs.items()}
        try:
            answers = ask(other)
        except Exception:  # a model may need a least length; what it refuses itself is no golden row
            continue
        sets.append((other, answers))
    return sets


def _rows(array: Array) -> Array:
    if len(array) >= LEAST_ROWS:
        return np.ascontiguousarray(array)
    rolled = [array]
    for shift in range(1, LEAST_ROWS):
        rolled.append(np.roll(array, shift, axis=-1) if array.ndim > 1 else array)
    return np.ascontiguousarray(np.concatenate(rolled)[:LEAST_ROWS])


def _longer(length: int) -> int:
    return length + length // 2 + 1


def _shorter(length: int) -> int:
    return max(1, length // 2)


def _resized(array: Array, axes: Sequence[int], change: Callable[[int], int]) -> Array:
    """Repeated, or cut, along axes."""
    for axis in axes:
        places = np.arange(change(array.shape[axis])) % array.shape[axis]
        array = np.take(array, places, axis=axis)
    return array


def as_arrays(value: Any, names: Sequence[str]) -> dict[str, Array]:
    """An example's parts by the model's input names: an array, a tuple in order, or a dict.

    Raises InvalidInput where there are other parts than names.
    """
    if isinstance(value, Mapping):
        parts = {str(name): _array(part) for name, part in value.items()}
        if set(parts) != set(names):
            raise InvalidInput(
                "the example has other inputs than the model", came=sorted(parts), allowed=names
            )
        return {name: parts[name] for name in names}
    listed = list(value) if isinstance(value, tuple) else [value]
    if len(listed) != len(names):
        raise InvalidInput(
            "the example has another number of inputs than the model", came=len(listed), allowed=names
        )
    return {name: _array(part) for name, part in zip(names, listed, strict=True)}


def _array(value: Any) -> Array:
    """Of a NumPy array, a list, a tensor of any framework (moved to memory) or a data frame."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "numpy") and not isinstance(value, np.ndarray):
        value = value.numpy()
    return np.asarray(value)
