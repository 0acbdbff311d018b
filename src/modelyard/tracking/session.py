"""The one run that this process speaks for, and the functions that scripts call."""

import atexit
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.conversion.contract import Options, Origin
from modelyard.errors import InvalidInput
from modelyard.tracking.backend import Backend, LoggedModel
from modelyard.tracking.data import ScriptDataset
from modelyard.types.package import NAME, NAME_RULE
from modelyard.types.script import CONTEXT_VARIABLE, ScriptEvent

_LONGEST_NAME: Final = 100


class _Session:
    """Opened at the first call. `opened` are the data sets, by name."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.backend: Backend | None = None
        self.opened: dict[str, ScriptDataset] = {}
        self.last_step: dict[str, int] = {}

    def open(self, name: str | None = None, **about: Any) -> Backend:
        with self.lock:
            if self.backend is None:
                self.backend = _inside() or _outside(name, about)
                atexit.register(self.close, "succeeded")
            return self.backend

    def close(self, state: str) -> None:
        with self.lock:
            backend, self.backend = self.backend, None
            self.opened.clear()
            self.last_step.clear()
        if backend is not None:
            backend.close(state)


_session = _Session()


def _inside() -> Backend | None:
    if CONTEXT_VARIABLE not in os.environ:
        return None
    from modelyard.tracking.inside import Inside

    return Inside.from_environment()


def _outside(name: str | None, about: Mapping[str, Any]) -> Backend:
    from modelyard.tracking.outside import Outside

    backend: Backend = Outside(name, **about)
    return backend


def start_run(name: str | None = None, *, params: Mapping[str, Any] | None = None) -> Backend:
    """Begin a run, outside of `yard run` (a notebook), and give it a name. Inside a run there is one already.

    A context manager: it ends the run, as failed where the block raises.
    """
    return _session.open(name, params=dict(params or {}))


def end_run(state: str = "succeeded") -> None:
    """End the run now: "succeeded" or "failed". What is said later begins another one."""
    if state not in ("succeeded", "failed"):
        raise InvalidInput("a run ends", came=state, allowed="succeeded, failed")
    _session.close(state)


def dataset(name: str) -> ScriptDataset:
    """A data set: "digits" or "digits:3". Inside a run, one that it was given by --data.

    Raises NotFound, naming what is there.
    """
    with _session.lock:
        if name not in _session.opened:
            _session.opened[name] = _session.open().dataset(name)
        return _session.opened[name]


def params() -> dict[str, Any]:
    """What `yard run --param` said; outside of a run, what `start_run` was given."""
    return dict(_session.open().params)


def checkpoints() -> Path:
    """A folder that outlives a crash: the run's next attempt finds in it what this one wrote."""
    return _session.open().checkpoints


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """One point of a curve. Without a step, the one after the last of this name."""
    log_metrics({name: value}, step)


def log_metrics(values: Mapping[str, float], step: int | None = None) -> None:
    """Points of curves at a step (an epoch, from 0). Cheap: it is sent in the background.

    Raises InvalidInput for names that are no text of 1 to 100 printable characters, and values that are no numbers.
    """
    checked: dict[str, float | None] = {_name(name): _number(name, value) for name, value in values.items()}
    if not checked:
        return
    if step is None:
        with _session.lock:
            step = 1 + max(_session.last_step.get(name, 0) for name in checked)
    elif isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 2**31:
        raise InvalidInput("step", came=step, allowed="0 to 2147483647")
    with _session.lock:
        _session.last_step.update(dict.fromkeys(checked, step))
    _session.open().put(ScriptEvent(metrics=checked, step=step, time=time.time()))


def log_progress(done: float, total: float, text: str = "") -> None:
    """How far the work is: what a progress bar shows."""
    _session.open().put(ScriptEvent(done=float(done), total=float(total), text=str(text), time=time.time()))


def log_summary(**figures: Any) -> None:
    """Figures that lists of runs show beside it, as accuracy=0.91."""
    _session.open().put(ScriptEvent(summary=figures, time=time.time()))


def log_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Keep a file, or a folder with all that is in it, with the run. `name` is its path there.

    Raises InvalidInput where there is no such file, or for a name that leads elsewhere.
    """
    _session.open().artifact(Path(path), name or Path(path).name)


def log_model(
    model: Any,
    name: str,
    *,
    example: Any = None,
    tokenizer: Any = None,
    data: ScriptDataset | str | None = None,
    **options: Any,
) -> LoggedModel:
    """Package a model, whatever made it, as the next version of `name`.

    Args:
        model: a torch.nn.Module, a keras.Model, a TensorFlow module or SavedModel, a fitted scikit-learn
            estimator or pipeline, an onnx.ModelProto, a Hugging Face model (with its `tokenizer`).
        example: a batch as the model takes it, best the first rows of the test split; needed where nothing
            else says what the model takes.
        data: the data set that it was made with; by default the one that was opened last.
        options: task, labels, scale, mean, std, layout, columns, answers, free_axes, licence: see
            `conversion.Options`.

    Raises InvalidInput, ParityMismatch, MissingExtra, as `conversion.package` says.
    """
    from modelyard.tasks.options import resolve

    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise InvalidInput("not a name for a model", came=name, allowed=NAME_RULE)
    if "labels" in options:
        options["labels"] = [str(label) for label in options["labels"]]
    plain: dict[str, Any] = msgspec.to_builtins({k: v for k, v in options.items() if v is not None})
    chosen = resolve(Options, plain, "log_model")
    used = dataset(data) if isinstance(data, str) else data or next(reversed(_session.opened.values()), None)
    brought = model if tokenizer is None else (model, tokenizer)
    origin = Origin() if used is None else used.origin()
    return _session.open().model(brought, name, chosen, example, origin, used)


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidInput("a metric's name", came=name, allowed=f"1 to {_LONGEST_NAME} printable characters")
    return name


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"metric {name!r} is no number", came=type(value).__name__) from None
