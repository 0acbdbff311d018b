"""Parity: an engine must answer as the model did when it was made, at several batch sizes and lengths."""

from pathlib import Path

import numpy as np

from modelyard.engines.contract import Array, Engine, Tensors
from modelyard.errors import ParityMismatch
from modelyard.packages.golden import read_sets
from modelyard.types.package import Golden, Manifest


def replay(engine: Engine, folder: Path, manifest: Manifest) -> None:
    """Feed each of the package's golden sets one by one, two by two and all at once, and compare every answer.

    An answer passes where |answer - golden| <= atol + rtol * |golden|; a NaN or another shape never does, and a
    text must be the same.

    Raises:
        ParityMismatch: with the tensor, the batch size, the worst absolute error and what was allowed there.
        Corrupt: the golden file does not hold the tensors that the manifest names.
    """
    golden = manifest.golden
    if golden is None:
        return
    for inputs, outputs in read_sets(folder, golden, manifest.tensors):
        for size in dict.fromkeys((1, 2, golden.rows)):
            answers = [engine.run(_slice(inputs, start, size)) for start in range(0, golden.rows, size)]
            for name, expected in outputs.items():
                what = f"{name} at batch size {size}{_lengths(inputs, manifest)}"
                _compare(what, _joined([a[name] for a in answers], what), expected, golden)


def _slice(tensors: Tensors, start: int, size: int) -> dict[str, Array]:
    return {name: tensor[start : start + size] for name, tensor in tensors.items()}


def _lengths(inputs: Tensors, manifest: Manifest) -> str:
    """The shapes that were asked, where they are not the only ones that can be."""
    free = [t.name for t in manifest.tensors.inputs if -1 in t.shape[1:]]
    return "".join(f", {name} {list(inputs[name].shape[1:])}" for name in free)


def _joined(parts: list[Array], what: str) -> Array:
    try:
        return np.concatenate(parts)
    except ValueError:
        raise ParityMismatch(
            f"{what} has a shape that changes", came=[list(p.shape) for p in parts[:3]]
        ) from None


def _compare(what: str, found: Array, expected: Array, golden: Golden) -> None:
    if found.shape != expected.shape:
        raise ParityMismatch(
            f"{what} has another shape", came=list(found.shape), allowed=str(list(expected.shape))
        )
    if expected.dtype == object:
        _compare_texts(what, found, expected)
        return
    with np.errstate(invalid="ignore"):  # inf - inf
        error = np.abs(found.astype(np.float64) - expected.astype(np.float64))
        limit = golden.atol + golden.rtol * np.abs(expected.astype(np.float64))
        good = np.isfinite(error) & (error <= limit)
    if good.all():
        return
    # NaN is the worst error there is.
    at = np.unravel_index(
        np.argmax(np.where(good, -1.0, np.where(np.isnan(error), np.inf, error))), error.shape
    )
    raise ParityMismatch(
        f"{what} is not what it was in training: {int((~good).sum())} of {good.size} values differ",
        came=f"absolute error {error[at]:.3g}",
        allowed=f"{limit[at]:.3g} (atol {golden.atol:g}, rtol {golden.rtol:g})",
    )


def _compare_texts(what: str, found: Array, expected: Array) -> None:
    wrong = [(f, e) for f, e in zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True) if f != e]
    if wrong:
        raise ParityMismatch(
            f"{what} is not what it was in training: {len(wrong)} of {expected.size} texts differ",
            came=repr(wrong[0][0]),
            allowed=repr(wrong[0][1]),
        )
