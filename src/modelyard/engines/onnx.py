"""The onnx engine: ONNX Runtime on the CPU (https://onnxruntime.ai, ONNX IR specification).

No library of custom operators is ever registered, so a model is data: ONNX Runtime runs its own kernels or
refuses the file. It also refuses external tensors that are not below the model's folder
(a test holds it to that).
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.engines.contract import Array, EngineOptions, Tensors
from modelyard.errors import InvalidInput, MissingExtra, NotAllowedFormat
from modelyard.types.tensor import Signature

_log = logging.getLogger(__name__)


class OnnxEngine:
    """An open session whose output names are bound once. `rows` is the one batch that it takes, or None."""

    def __init__(self, session: Any, outputs: tuple[str, ...]) -> None:
        self.rows = _fixed_rows(session)
        self._run = session.run
        self._outputs = list(outputs)

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See `engines.contract.Engine.run`."""
        try:
            return dict(zip(self._outputs, self._run(self._outputs, inputs), strict=True))
        except Exception as error:
            # ONNX Runtime's exceptions share no base class, and their texts hold paths of its own build.
            _log.warning("onnx: %s", error)
            raise InvalidInput("the model cannot run on these tensors", came=_shapes(inputs)) from error


class TextOnnxEngine(OnnxEngine):
    """One whose tensors are also texts: bytes outside, str inside ONNX Runtime."""

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See `engines.contract.Engine.run`."""
        decoded = {name: _decoded(name, a) if a.dtype == object else a for name, a in inputs.items()}
        outputs = super().run(decoded)
        return {name: _encoded(a) if a.dtype.kind in "OU" else a for name, a in outputs.items()}


class PartsEngine:
    """Of a model whose first axis is fixed: so many rows at a time, the last part filled up."""

    def __init__(self, engine: OnnxEngine, rows: int) -> None:
        self._engine, self._rows = engine, rows

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See `engines.contract.Engine.run`."""
        count, rows = len(next(iter(inputs.values()))), self._rows
        places = np.minimum(np.arange(-(-count // rows) * rows), count - 1)
        parts = [
            self._engine.run({name: array[places[at : at + rows]] for name, array in inputs.items()})
            for at in range(0, len(places), rows)
        ]
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


def create(path: Path, tensors: Signature, options: EngineOptions) -> OnnxEngine | PartsEngine:
    """Open an ONNX file, whatever number of rows it takes. Raises as `open_whole` does."""
    engine = open_whole(path, tensors, options)
    return engine if engine.rows is None else PartsEngine(engine, engine.rows)


def open_whole(path: Path, tensors: Signature, options: EngineOptions) -> OnnxEngine:
    """The same that runs no other number of rows than the model takes.

    Raises:
        InvalidInput: not an ONNX model, an unknown operator, or other inputs and outputs than `tensors`.
        NotAllowedFormat: external data outside the model's folder.
        MissingExtra: onnxruntime is not there.
    """
    session = _session(path, options)
    _check_names(
        "inputs", [i.name for i in session.get_inputs()], [t.name for t in tensors.inputs], exact=True
    )
    outputs = tuple(t.name for t in tensors.outputs)
    _check_names("outputs", [o.name for o in session.get_outputs()], list(outputs), exact=False)
    texts = any(t.datatype == "BYTES" for t in (*tensors.inputs, *tensors.outputs))
    return (TextOnnxEngine if texts else OnnxEngine)(session, outputs)


def _fixed_rows(session: Any) -> int | None:
    """The length of the inputs' first axis where it is fixed."""
    first = [i.shape[0] for i in session.get_inputs() if i.shape]
    fixed = {size for size in first if isinstance(size, int)}
    return fixed.pop() if len(fixed) == 1 else None


def _session(path: Path, options: EngineOptions) -> Any:
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx") from None
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.log_severity_level = 4  # what it has to say comes as exceptions
    # Threads that spin while they wait would take the cores of the other replicas.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # no common base class, see above
        _log.warning("onnx: %s", error)
        if "External data path" in str(error):
            raise NotAllowedFormat(
                f"{path.name} has external data outside its folder", allowed="tensors in the package itself"
            ) from error
        raise InvalidInput(f"{path.name} is not a model that the onnx engine can open") from error


def _check_names(what: str, found: list[str], wanted: list[str], *, exact: bool) -> None:
    if (set(found) != set(wanted)) if exact else not set(wanted) <= set(found):
        raise InvalidInput(
            f"the ONNX model's {what} are not those of its manifest", came=found, allowed=wanted
        )


def _shapes(inputs: Tensors) -> str:
    return ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in inputs.items())


def _decoded(name: str, array: Array) -> Array:
    out = np.empty(array.shape, object)
    try:
        out.reshape(-1)[:] = [cell.decode() for cell in array.ravel().tolist()]
    except (UnicodeDecodeError, AttributeError):
        raise InvalidInput(f"input {name!r} has a text that is not UTF-8") from None
    return out


def _encoded(array: Array) -> Array:
    out = np.empty(array.shape, object)
    out.reshape(-1)[:] = [cell.encode() for cell in array.ravel().tolist()]
    return out
