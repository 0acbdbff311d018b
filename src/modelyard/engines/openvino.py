"""The openvino engine: OpenVINO IR (https://docs.openvino.ai, "OpenVINO IR format"), an xml and a bin.

Arithmetic is float32: on some processors OpenVINO computes in bfloat16 by default, which no parity would pass.
"""

from pathlib import Path
from typing import Any

from modelyard.engines.contract import Array, EngineOptions, Tensors
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.types.tensor import Signature


class OpenVinoEngine:
    """A compiled model with one request."""

    def __init__(self, compiled: Any, tensors: Signature) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = [t.name for t in tensors.outputs]

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See `engines.contract.Engine.run`."""
        try:
            answers = self._request.infer(dict(inputs))
        except RuntimeError as error:
            shapes = {name: list(a.shape) for name, a in inputs.items()}
            raise InvalidInput("the model cannot run on these tensors", came=shapes) from error
        return {name: answers[k].copy() for k, name in enumerate(self._outputs)}


def create(path: Path, tensors: Signature, options: EngineOptions) -> OpenVinoEngine:
    """Open the xml at `path`; its bin stands beside it. Raises InvalidInput, MissingExtra."""
    import openvino

    model = read_model(path)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": options.threads}
    try:
        return OpenVinoEngine(openvino.Core().compile_model(model, "CPU", settings), tensors)
    except RuntimeError as error:
        raise InvalidInput("OpenVINO cannot compile this model", came=type(error).__name__) from error


def read_model(path: Path) -> Any:
    """The openvino.Model of an xml and its bin. Raises InvalidInput, MissingExtra."""
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("openvino", "openvino") from error
    try:
        return openvino.Core().read_model(path, path.with_suffix(".bin"))
    except RuntimeError as error:
        raise InvalidInput(f"{path.name} is no OpenVINO IR", came=type(error).__name__) from error
