"""Outside of a run: a notebook, or a script that was started by hand, against a running platform over HTTP.

The first word begins a run of kind `external`; it ends with the process, or with `end_run`.
"""

import os
import sys
import tempfile
import threading
import time
import zipfile
from collections import deque
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from modelyard import conversion, packages
from modelyard.client import Client
from modelyard.client.transport import Request, at
from modelyard.client.upload import saved
from modelyard.conversion.contract import Context, Options, Origin
from modelyard.errors import InvalidInput
from modelyard.files import sha256_bytes
from modelyard.packages import bundle
from modelyard.tracking.backend import EndsWithBlock, LoggedModel
from modelyard.tracking.data import ScriptDataset
from modelyard.types.dataset import DATASET_MANIFEST_NAME, DatasetManifest
from modelyard.types.package import MANIFEST_NAME, FileEntry, Lineage, encode_manifest
from modelyard.types.script import ScriptEvent

_INTERVAL: Final = 0.5  # seconds that points are gathered for
_MOST_POINTS: Final = 5000  # in one request
_CACHE: Final = "datasets"
_SMALL: Final = 1 << 20  # bytes of a file that is sent in one piece


class Outside(EndsWithBlock):
    """See `backend.Backend`."""

    def __init__(
        self, name: str | None, params: dict[str, Any] | None = None, client: Client | None = None
    ) -> None:
        self.client = client or Client()
        self.params: dict[str, Any] = dict(params or {})
        said = {k: str(v) for k, v in self.params.items()}
        body = {"name": name or "", "source": _source(), "params": said}
        self.run: str = self.client.transport.post("/api/v1/runs/external", body)["id"]
        self._summary: dict[str, Any] = {}
        self._points = _Points(self.client, self.run)

    def _repr_html_(self) -> str:
        return self.client.runs.show(self.run)._repr_html_()

    @property
    def checkpoints(self) -> Path:
        """A folder beside the script: nobody starts it again."""
        folder = Path.cwd() / ".modelyard-checkpoints"
        folder.mkdir(exist_ok=True)
        return folder

    def dataset(self, name: str) -> ScriptDataset:
        """Download a version once, into the user's cache."""
        base, _, version = name.partition(":")
        found = self.client.data.version(base, version or "latest")
        folder = _cache() / _CACHE / found["digest"]
        if not (folder / DATASET_MANIFEST_NAME).is_file():
            self._download(base, found["version"], folder)
        return ScriptDataset(f"{base}:{found['version']}", folder, found["digest"])

    def put(self, event: ScriptEvent) -> None:
        self._summary |= event.summary
        if event.metrics:
            self._points.put(event)

    def artifact(self, path: Path, name: str) -> None:
        if not path.exists():
            raise InvalidInput("there is no such file or folder", came=str(path))
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            inner = name if file == path else f"{name}/{file.relative_to(path).as_posix()}"
            self._send(file, inner)

    def model(self, model: Any, name: str, options: Options, example: Any, origin: Origin,
              data: ScriptDataset | None) -> LoggedModel:  # fmt: skip
        lineage = Lineage(
            run=self.run,
            dataset=None if data is None else data.reference,
            dataset_digest=None if data is None else data.digest,
        )
        with tempfile.TemporaryDirectory(prefix="modelyard-model-") as work:
            folder = Path(work) / "package"
            context = Context(lineage=lineage, say=lambda note: print(f"{name}: {note}"))
            made = conversion.package(model, folder, options, example=example, origin=origin, context=context)
            file = Path(work) / f"{name}{bundle.SUFFIX}"
            _write_bundle(file, folder, name, made)
            run = self.client.models.import_(file, name)
        version = run.outputs["model"]
        return LoggedModel(
            name=name,
            task=made.manifest.task,
            format=made.format,
            digest=version["digest"],
            notes=made.notes,
            version=version["version"],
        )

    def close(self, state: str) -> None:
        self._points.close()
        body = {"state": "failed" if _failed() else state, "summary": _plain(self._summary)}
        self.client.transport.post(at("runs", self.run, "end"), body)
        self.client.close()

    def _download(self, name: str, version: int, folder: Path) -> None:
        """Every file, then the manifest: a folder that has one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        where = at("datasets", name, "versions", version, "files")
        text = self.client.transport.file(f"{where}/{DATASET_MANIFEST_NAME}")
        manifest = msgspec.json.decode(text, type=DatasetManifest)
        for file in manifest.files:
            saved(self.client.transport, f"{where}/{file}", folder / file, _silent)
        (folder / DATASET_MANIFEST_NAME).write_bytes(text)

    def _send(self, file: Path, name: str) -> None:
        size = file.stat().st_size
        self.client.transport.send(
            Request(
                method="PUT",
                path=f"{at('runs', self.run, 'artifacts')}/{quote(name)}",
                content=lambda: file.read_bytes() if size < _SMALL else _parts(file),
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
                timeout=3600.0,
            )
        )


class _Points:
    """Points of curves, gathered for half a second, by one background thread."""

    def __init__(self, client: Client, run: str) -> None:
        self._client, self._path = client, at("runs", run, "metrics")
        self._waiting: deque[list[Any]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._loop, name="modelyard points", daemon=True)
        self._thread.start()

    def put(self, event: ScriptEvent) -> None:
        """Raises what the last try to send has met: a platform that is gone is not passed over in silence."""
        if self._failure is not None:
            raise self._failure
        for name, value in event.metrics.items():
            finite = value is not None and value - value == 0
            self._waiting.append([name, event.step or 0, value if finite else None, event.time])
        self._wake.set()

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join(60.0)
        if self._failure is not None:
            raise self._failure

    def _loop(self) -> None:
        while not (self._closing and not self._waiting):
            self._wake.wait()
            if not self._closing:
                time.sleep(_INTERVAL)
            self._wake.clear()
            try:
                self._send()
            except Exception as error:
                self._failure = error
                return

    def _send(self) -> None:
        while self._waiting:
            part = [self._waiting.popleft() for _ in range(min(_MOST_POINTS, len(self._waiting)))]
            self._client.transport.post(self._path, {"points": part})


def _write_bundle(file: Path, folder: Path, name: str, made: "conversion.Packaged") -> None:
    """What `yard models export` writes, of a package that no platform has seen yet."""
    manifest = made.manifest
    own = encode_manifest(manifest)
    entries = {**manifest.files, MANIFEST_NAME: FileEntry(sha256=sha256_bytes(own), size=len(own))}
    listed = bundle.BundleManifest(
        model=name,
        task=manifest.task,
        digest=packages.digest(manifest),
        version=0,
        summary={},
        files={f"{bundle.PACKAGE}/{path}": entry for path, entry in entries.items()},
        made_by="modelyard.log_model",
    )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(bundle.BUNDLE_NAME, msgspec.json.encode(listed, order="sorted"))
        for path in entries:
            archive.write(folder / path, f"{bundle.PACKAGE}/{path}")


def _source() -> str:
    """What drives the run: a notebook, or the script's name."""
    if "ipykernel" in sys.modules:
        return "notebook"
    return f"script {Path(sys.argv[0]).name}" if sys.argv and sys.argv[0] else "python"


def _failed() -> bool:
    """Whether this script ends because of an exception. A notebook's cells may fail and be run again."""
    return (
        getattr(sys, "last_type", None) is not None
        and not hasattr(sys, "ps1")
        and "ipykernel" not in sys.modules
    )


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"


def _plain(summary: dict[str, Any]) -> dict[str, Any]:
    return {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in summary.items()}


def _parts(file: Path) -> Any:
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            yield part


def _silent(done: float, total: float, text: str) -> None:
    """No one watches."""
