"""A torch module as ONNX, by the exporter that traces with Dynamo."""

import logging
import warnings
from pathlib import Path

import numpy as np

from modelyard.errors import MissingExtra
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.training.job import Job


class Answering(nn.Module):
    """A net with what the engine is to answer: probabilities, or the target in its own unit."""

    def __init__(self, net: nn.Module, job: Job) -> None:
        super().__init__()
        self.net = net
        self.is_classifier = job.shape.classes is not None
        self.target_mean, self.target_std = job.target_scale

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.net(x)
        if self.is_classifier:
            return outputs.softmax(dim=1)
        return outputs * self.target_std + self.target_mean


def to_onnx(module: nn.Module, job: Job, path: Path) -> None:
    """Write `path` with the engine's names and a free batch axis, everything inside one file."""
    try:
        import onnxscript  # noqa: F401  what the exporter needs and does not name
    except ImportError as error:
        raise MissingExtra("onnxscript", "torch") from error
    spec = job.shape.input
    dtype = np.uint8 if spec.datatype == "UINT8" else np.float32
    # Two rows: an axis of length 1 would be taken for a constant.
    example = torch.from_numpy(np.zeros((2, *spec.shape[1:]), dtype=dtype))
    for name in (
        "onnxscript",
        "torch.onnx._internal.exporter._registration",
    ):  # notes on what is not installed
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)  # of the exporter's own calls
        warnings.simplefilter("ignore", category=FutureWarning)
        torch.onnx.export(
            Answering(module, job).eval(),
            (example,),
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=[spec.name],
            output_names=[job.shape.output.name],
            dynamic_shapes=({0: torch.export.Dim("rows")},),
        )
