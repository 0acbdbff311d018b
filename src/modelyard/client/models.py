"""Models, their versions and aliases."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.client.imports import BUNDLE_SUFFIX, ImportOptions, Source, start_import
from modelyard.client.record import Record
from modelyard.client.runs import Run, Watch
from modelyard.client.transport import Request, at
from modelyard.client.upload import Progress, saved
from modelyard.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from modelyard.client.client import Client


class Model(Record):
    """A model with its versions and aliases."""

    shown: ClassVar[tuple[str, ...]] = ("name", "task", "version", "aliases")

    @property
    def name(self) -> str:
        return str(self.raw["name"])

    @property
    def task(self) -> str:
        return str(self.raw.get("task") or "")

    @property
    def versions(self) -> list[dict[str, Any]]:
        return list(self.raw.get("versions") or [])

    @property
    def version(self) -> int | None:
        """The newest version's number."""
        latest = self.raw.get("latest")
        numbers = [v["version"] for v in self.versions]
        return latest["version"] if isinstance(latest, dict) else latest or max(numbers, default=None)

    @property
    def aliases(self) -> dict[str, Any]:
        """Alias -> version number."""
        return dict(self.raw.get("aliases") or {})


class Models:
    """`client.models`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def list(self, limit: int | None = None) -> list[Model]:
        return [Model(m, self._client) for m in self._client.transport.pages("/api/v1/models", limit)]

    def show(self, name: str) -> Model:
        return Model(self._client.transport.get(at("models", name)), self._client)

    def version(self, reference: str) -> dict[str, Any]:
        """One version ("name:3", "name@alias", "name") as the server says it, with its reports."""
        name, version = split_reference(reference)
        return dict(self._client.transport.get(at("models", name, "versions", version or "latest")))

    def import_(
        self,
        source: Source,
        name: str | None = None,
        *,
        format: str | None = None,
        options: ImportOptions | None = None,
        wait: bool = True,
        progress: Progress | None = None,
        watch: Watch | None = None,
        **said: Any,
    ) -> Run:
        """Make a version of a model that was made elsewhere.

        `source`: a file or a folder (ONNX, .keras, SavedModel, safetensors, GGUF, skops, .pt2, OpenVINO, a zip
        or tar.gz of one, a bundle of `export`), or "hf:ORG/NAME@REVISION". `said` are the fields of
        ImportOptions, by name. Returns the run; its `outputs["model"]` is the version.
        """
        chosen = options or ImportOptions(**said)
        run = start_import(self._client, source, name, format, chosen, progress or _silent)
        return run.wait(watch=watch) if wait else run

    def export(self, reference: str, out: Path | str | None = None, progress: Progress | None = None) -> Path:
        """Save a version ("name", "name:3") with its reports, card and history as one file, which `import_`
        takes on another platform. Where it is."""
        name, version = split_reference(reference)
        number = self.version(reference)["version"]
        target = Path(out) if out is not None else Path(f"{name}-{number}{BUNDLE_SUFFIX}")
        path = at("models", name, "versions", version or number, "bundle")
        saved(self._client.transport, path, target, progress or _silent)
        return target

    def card(self, reference: str) -> str:
        """A version's model card: Markdown with Hugging Face's header."""
        return str(self._client.transport.get(self._card_path(reference))["text"])

    def put_card(self, reference: str, text: str | None) -> str:
        """Keep `text` as the card; None goes back to the one that the platform makes. The card that stands then."""
        request = Request(method="PUT", path=self._card_path(reference), json={"text": text})
        return str(self._client.transport.send(request)["text"])

    def alias(self, name: str, alias: str, version: int | str) -> Model:
        """Let `alias` mean `version`, whatever it meant before."""
        path = at("models", name, "aliases", alias.removeprefix("@"))
        self._client.transport.send(Request(method="PUT", path=path, json={"version": version}))
        return self.show(name)

    def unalias(self, name: str, alias: str) -> Model:
        """Forget `alias`."""
        path = at("models", name, "aliases", alias.removeprefix("@"))
        self._client.transport.send(Request(method="DELETE", path=path))
        return self.show(name)

    def report(self, reference: str) -> dict[str, Any]:
        """The newest report of a version ("name", "name:3", "name@alias"), as types.report.Report in JSON."""
        return dict(json.loads(self._report_file(reference, "report.json")))

    def report_page(self, reference: str) -> bytes:
        """The same with its pictures, as one HTML page."""
        return self._report_file(reference, "report.html")

    def delete(self, reference: str) -> None:
        """Delete a version ("name:3"). Raises Conflict while a deployment serves it."""
        name, version = split_reference(reference)
        if version is None:
            raise InvalidInput("say which version to delete", came=reference, allowed=f"{name}:3")
        self._client.transport.send(Request(method="DELETE", path=at("models", name, "versions", version)))

    def _card_path(self, reference: str) -> str:
        name, version = split_reference(reference)
        return at("models", name, "versions", version or "latest", "card")

    def _report_file(self, reference: str, file: str) -> bytes:
        name, version = split_reference(reference)
        version = version or "latest"
        reports = self.version(reference).get("reports") or []
        if not reports:
            raise NotFound("this version has no report; make one with: yard evaluate", came=reference)
        path = at("models", name, "versions", version, "reports", reports[-1]["id"], "files", file)
        return self._client.transport.file(path)


def split_reference(reference: str) -> tuple[str, str | None]:
    """ "name", "name:3", "name:1f2e3d4c" or "name@alias" as name and version ("3", "1f2e3d4c", "@alias").

    Raises InvalidInput.
    """
    for mark, keep in (("@", "@"), (":", "")):
        name, found, version = reference.partition(mark)
        if found:
            if not name or not version:
                raise InvalidInput("not a version", came=reference, allowed="NAME, NAME:3, NAME@ALIAS")
            return name, keep + version
    return reference, None


def _silent(done: float, total: float, text: str) -> None:
    """No one watches."""
