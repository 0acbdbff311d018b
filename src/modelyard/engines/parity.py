"""Parity: an engine must answer as the model did when it was trained, at several batch sizes."""

from pathlib import Path

import numpy as np

from modelyard.engines.contract import Array, Engine, Tensors
from modelyard.errors import Corrupt, ParityMismatch
from modelyard.types.package import Golden, Manifest

_INPUT, _OUTPUT = "inputs.", "outputs."


def replay(engine: Engine, folder: Path, manifest: Manifest) -> None:
    """Feed the package's golden inputs one by one, two by two and all at once, and compare every answer.

    An answer passes where |answer - golden| <= atol + rtol * |golden|; a NaN or another shape never does.

    Raises:
        ParityMismatch: with the tensor, the batch size, the worst absolute error and what was allowed there.
        Corrupt: the golden file does not hold the tensors that the manifest names.
    """
    golden = manifest.golden
    if golden is None:
        return
    inputs, outputs = _load(folder, golden, manifest)
    for size in dict.fromkeys((1, 2, golden.rows)):
        answers = [engine.run(_slice(inputs, start, size)) for start in range(0, golden.rows, size)]
        for name, expected in outputs.items():
            _compare(
                f"{name} at batch size {size}", np.concatenate([a[name] for a in answers]), expected, golden
            )


def _load(folder: Path, golden: Golden, manifest: Manifest) -> tuple[dict[str, Array], dict[str, Array]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(folder / golden.file)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise Corrupt.because(golden.file, "is not a safetensors file") from error
    wanted = {_INPUT + t.name for t in manifest.tensors.inputs} | {
        _OUTPUT + t.name for t in manifest.tensors.outputs
    }
    if set(tensors) != wanted:
        raise Corrupt.because(
            golden.file, "holds other tensors than the model has", came=sorted(tensors), allowed=wanted
        )
    if golden.rows < 1 or any(t.ndim < 1 or len(t) != golden.rows for t in tensors.values()):
        raise Corrupt.because(golden.file, "has other rows than the manifest says", allowed=golden.rows)
    split = {
        prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        for prefix in (_INPUT, _OUTPUT)
    }
    return split[_INPUT], split[_OUTPUT]


def _slice(tensors: Tensors, start: int, size: int) -> dict[str, Array]:
    return {name: tensor[start : start + size] for name, tensor in tensors.items()}


def _compare(what: str, found: Array, expected: Array, golden: Golden) -> None:
    if found.shape != expected.shape:
        raise ParityMismatch(
            f"{what} has another shape", came=list(found.shape), allowed=str(list(expected.shape))
        )
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
