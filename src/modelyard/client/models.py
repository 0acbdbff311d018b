"""Models, their versions and aliases."""

import json
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.client.record import Record
from modelyard.client.transport import Request, at
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
