"""Golden rows: inputs with the answers of the framework that trained the model, for every engine to be held
to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from modelyard.tasks.contract import Array
from modelyard.types.package import Golden

FILE: Final = "golden.safetensors"
ROWS: Final = 64


def write(folder: Path, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Golden:
    """golden.safetensors with `inputs.NAME` and `outputs.NAME`, batch first.

    The tolerance is what float32 arithmetic in another order may differ by: 1e-4 of an answer and 1e-5 of
    the largest.
    """
    from safetensors.numpy import save_file

    tensors = {f"inputs.{name}": np.ascontiguousarray(value) for name, value in inputs.items()}
    tensors |= {f"outputs.{name}": np.ascontiguousarray(value) for name, value in outputs.items()}
    save_file(tensors, folder / FILE)
    rows = len(next(iter(outputs.values())))
    scale = max(1.0, *(float(np.abs(value).max(initial=0)) for value in outputs.values()))
    return Golden(file=FILE, rows=rows, rtol=1e-4, atol=1e-5 * scale)
