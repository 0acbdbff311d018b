"""Data sets: add files, folders or a built-in one; see what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.client.record import Record
from modelyard.client.runs import Run, Watch
from modelyard.client.sample import Sample
from modelyard.client.transport import Request, at
from modelyard.client.upload import Progress, upload
from modelyard.errors import InvalidInput

if TYPE_CHECKING:
    from modelyard.client.client import Client

Source = str | PathLike[str]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How files are read. What is None is inferred or left to the default.

    order_by    a column of times: the first rows train, the last ones test, instead of a random split
    columns     column -> kind ("number", "category", ...), against the inferred one
    fractions   split -> share of the rows, as {"train": 0.7, "validation": 0.15, "test": 0.15}
    """

    label: str | None = None
    split_column: str | None = None
    order_by: str | None = None
    columns: Mapping[str, str] | None = None
    format: str | None = None
    fractions: Mapping[str, float] | None = None
    seed: int | None = None
    stratify: bool | None = None
    drop: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Without what is None."""
        return {k: v for k, v in self.__dict__.items() if v is not None}


class Dataset(Record):
    """A data set and its versions."""

    shown: ClassVar[tuple[str, ...]] = ("name", "version", "rows")

    @property
    def name(self) -> str:
        return str(self.raw["name"])

    @property
    def versions(self) -> list[dict[str, Any]]:
        """The newest first, where the server lists them."""
        return list(self.raw.get("versions") or [])

    @property
    def version(self) -> int | None:
        """The newest version's number."""
        return _latest(self.raw).get("version")

    @property
    def rows(self) -> int | None:
        return _latest(self.raw).get("rows")

    @property
    def label(self) -> str | None:
        """The column that the newest version is labelled with."""
        return _latest(self.raw).get("label")


class Datasets:
    """`client.data`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def add(self, name: str, path: Source | Sequence[Source] | None = None, *, builtin: str | None = None,
            options: DataOptions | None = None, wait: bool = True, progress: Progress | None = None,
            watch: Watch | None = None, **reading: Any) -> "Dataset | Run":  # fmt: skip
        """Make a version of `name` from files or folders, or from a built-in data set.

        `reading` are the fields of DataOptions, by name. Without `path`, `builtin` is `name`
        where it is not given.
        Waits for the preparing run and returns the data set; with wait=False, the run.
        """
        chosen = options or DataOptions(**reading)
        body: dict[str, Any] = {"name": name, "options": chosen.to_dict()}
        if path is None:
            body["builtin"] = builtin or name
        else:
            paths = [path] if isinstance(path, str | PathLike) else list(path)
            body["uploads"] = [upload(self._client.transport, Path(p), progress or _silent) for p in paths]
        run = Run(self._client.transport.post("/api/v1/datasets", body), self._client)
        if not wait:
            return run
        run.wait(watch=watch)
        return self.show(name)

    def list(self, limit: int | None = None) -> list[Dataset]:
        return [Dataset(d, self._client) for d in self._client.transport.pages("/api/v1/datasets", limit)]

    def show(self, name: str) -> Dataset:
        return Dataset(self._client.transport.get(at("datasets", name)), self._client)

    def version(self, name: str, version: int | str = "latest") -> dict[str, Any]:
        """One version as the server says it, with its manifest."""
        return dict(self._client.transport.get(at("datasets", name, "versions", version)))

    def profile(self, name: str, version: int | str = "latest") -> dict[str, Any]:
        """What was found in one version's columns (types.dataset.Profile)."""
        path = at("datasets", name, "versions", version, "files", "profile.json")
        return dict(self._client.transport.get(path))

    def sample(self, name: str, row: int = 0, split: str = "test") -> Sample:
        """One row of a split ("name" or "name:3"), to ask a deployment with."""
        base, _, version = name.partition(":")
        path = at("datasets", base, "versions", version or "latest", "sample")
        return Sample(self._client.transport.get(path, split=split, row=row), self._client)

    def profile_file(self, name: str, file: str = "profile.txt") -> bytes:
        """The same of "name" or "name:3" as a file: profile.txt, or profile.html with pictures."""
        base, _, version = name.partition(":")
        return self._client.transport.file(
            at("datasets", base, "versions", version or "latest", "files", file)
        )

    def delete(self, reference: str) -> None:
        """Delete a version ("name:3"). Raises Conflict while a run works on it."""
        base, _, version = reference.partition(":")
        if not version:
            raise InvalidInput("say which version to delete", came=reference, allowed=f"{base}:3")
        self._client.transport.send(Request(method="DELETE", path=at("datasets", base, "versions", version)))


def _latest(raw: dict[str, Any]) -> dict[str, Any]:
    versions = raw.get("versions") or []
    latest = raw.get("latest") or max(versions, key=lambda v: v["version"], default=None)
    return latest if isinstance(latest, dict) else raw


def _silent(done: float, total: float, text: str) -> None:
    """No one watches."""
