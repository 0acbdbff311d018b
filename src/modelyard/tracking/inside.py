"""Inside a run: what the run laid out is read, what the script makes is left in its outputs, and words go through a
pipe to the run's own process, which alone holds the token that control believes."""

import os
import shutil
import threading
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard import conversion
from modelyard.conversion.contract import Context, Options, Origin
from modelyard.errors import InvalidInput, NotFound
from modelyard.tracking.backend import EndsWithBlock, LoggedModel
from modelyard.tracking.data import ScriptDataset
from modelyard.types.package import Lineage
from modelyard.types.script import (
    ARTIFACTS,
    CONTEXT_VARIABLE,
    EVENTS_VARIABLE,
    MODELS,
    ScriptContext,
    ScriptEvent,
)

_INTERVAL: Final = 0.1  # seconds that words are gathered for
_encode = msgspec.json.Encoder().encode


class Inside(EndsWithBlock):
    """See `backend.Backend`."""

    def __init__(self, context: ScriptContext, events: int | None) -> None:
        self._context = context
        self._outputs = Path(context.outputs)
        self._pipe = None if events is None else _Pipe(events)

    @classmethod
    def from_environment(cls) -> "Inside":
        text = Path(os.environ[CONTEXT_VARIABLE]).read_bytes()
        events = os.environ.get(EVENTS_VARIABLE)
        return cls(msgspec.json.decode(text, type=ScriptContext), None if events is None else int(events))

    @property
    def params(self) -> dict[str, Any]:
        return self._context.params

    @property
    def checkpoints(self) -> Path:
        return Path(self._context.checkpoints)

    def dataset(self, name: str) -> ScriptDataset:
        known = self._context.data
        found = known.get(name) or next((d for d in known.values() if d.reference == name), None)
        if found is None:
            hint = f"yard run ... --data {name.partition(':')[0]}"
            raise NotFound(
                f"the run was not given the data set {name!r}; add: {hint}", allowed=list(known) or "none"
            )
        return ScriptDataset(found.reference, Path(found.folder), found.digest)

    def put(self, event: ScriptEvent) -> None:
        if self._pipe is not None:
            self._pipe.put(event)

    def artifact(self, path: Path, name: str) -> None:
        target = _inside(self._outputs / ARTIFACTS, name)
        if not path.exists():
            raise InvalidInput("there is no such file or folder", came=path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, target)

    def model(self, model: Any, name: str, options: Options, example: Any, origin: Origin,
              data: ScriptDataset | None) -> LoggedModel:  # fmt: skip
        out = _inside(self._outputs / MODELS, name)
        if out.exists():  # logged again: the last one counts
            shutil.rmtree(out)
        made = conversion.package(
            model, out, options, example=example, origin=origin, context=self._conversion(name, data)
        )
        self.put(ScriptEvent(model=name))
        return LoggedModel(
            name=name,
            task=made.manifest.task,
            format=made.format,
            digest=_digest(made),
            notes=made.notes,
        )

    def close(self, state: str) -> None:
        if self._pipe is not None:
            self._pipe.close()

    def _conversion(self, name: str, data: ScriptDataset | None) -> Context:
        lineage = Lineage(
            run=self._context.run,
            dataset=None if data is None else data.reference,
            dataset_digest=None if data is None else data.digest,
        )
        return Context(
            lineage=lineage,
            requirements=self._context.requirements,
            say=lambda note: print(f"{name}: {note}", flush=True),
        )


class _Pipe:
    """Lines to the run's process, gathered for a tenth of a second, by one background thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[ScriptEvent] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="modelyard events", daemon=True)
        self._thread.start()

    def put(self, event: ScriptEvent) -> None:
        self._waiting.append(event)
        self._wake.set()

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join(10.0)

    def _loop(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            if not self._closing:
                pause.wait(_INTERVAL)
            self._wake.clear()
            closing = self._closing
            if not self._send() or (closing and not self._waiting):
                return

    def _send(self) -> bool:
        lines = bytearray()
        while self._waiting:
            lines += _encode(self._waiting.popleft()) + b"\n"
        try:
            while lines:
                del lines[: os.write(self._descriptor, lines)]
        except OSError:  # the run's process is gone, and this one ends with it
            return False
        return True


def _inside(folder: Path, name: str) -> Path:
    """A path below `folder`. Raises InvalidInput for a name that leads elsewhere."""
    parts = name.split("/")
    if (
        not name.isprintable()
        or "\\" in name
        or any(part in ("", ".", "..") for part in parts)
        or len(name) > 200
    ):
        raise InvalidInput(
            "a name that leads elsewhere", came=name, allowed="plain names, with / between folders"
        )
    return folder.joinpath(*parts)


def _digest(made: "conversion.Packaged") -> str:
    from modelyard import packages

    return packages.digest(made.manifest)
