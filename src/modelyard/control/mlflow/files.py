"""Artifacts on MLflow's wire: files by their path in an experiment.

EXPERIMENT/RUN/artifacts/PATH, EXPERIMENT/models/MODEL/artifacts/PATH
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from modelyard.control.mlflow import logged_models, run_views
from modelyard.control.mlflow.runs import One
from modelyard.control.mlflow.wire import Asked, Operation, filled
from modelyard.control.platform import Platform
from modelyard.control.services import artifacts, external_runs
from modelyard.control.services.artifacts import ArtifactView, Shelf
from modelyard.control.services.files import StoredFile
from modelyard.errors import InvalidInput, NotFound
from modelyard.store.blobs import BlobWriter
from modelyard.store.tracking import TrackedRun

_PLACE: Final = re.compile(
    r"(?P<experiment>\d{1,9})/(?:models/(?P<model>m-[0-9a-z]+)|(?P<run>run_[0-9a-z]+))/artifacts(?:/(?P<path>.*))?",
    re.DOTALL | re.ASCII,
)


class List(One, frozen=True, kw_only=True):
    path: str = ""
    page_token: str | None = None


class ListPath(Asked, frozen=True, kw_only=True):
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A path of the wire, read. `path` is "" for the whole."""

    run: str | None
    model: str | None
    path: str

    def shelf(self, session: Session, tenant: str) -> Shelf:
        """Raises NotFound."""
        if self.model is not None:
            return artifacts.shelf_of(logged_models.get(session, tenant, self.model))
        run, _ = external_runs.get_external(session, tenant, self.run or "")
        return artifacts.shelf_of(run)


def read_place(path: str) -> Place:
    """Raises InvalidInput for a path that leaves its folder, NotFound for one that is nobody's."""
    if path.strip("/"):
        artifacts.check_path(path.strip("/"))
    match = _PLACE.fullmatch(path.strip("/"))
    if match is None:
        raise NotFound("No such artifact", came=path[:300], allowed="EXPERIMENT/RUN/artifacts/PATH")
    return Place(run=match["run"], model=match["model"], path=match["path"] or "")


def begin(platform: Platform, tenant: str, path: str, size: int | None) -> BlobWriter:
    """Raises as `read_place`, `artifacts.begin`, NotFound."""
    place = read_place(path)
    with platform.database.read() as session:
        place.shelf(session, tenant)
    return artifacts.begin(platform, tenant, place.path, size)


def finish(platform: Platform, tenant: str, path: str, writer: BlobWriter) -> None:
    """Keep what was written. Raises as `artifacts.put`."""
    place, entry = read_place(path), writer.commit()
    with platform.database.write() as session:
        artifacts.put(session, place.shelf(session, tenant), place.path, entry, platform.now())


def open_file(platform: Platform, tenant: str, path: str) -> StoredFile:
    """Raises NotFound."""
    place = read_place(path)
    with platform.database.read() as session:
        return artifacts.stored(platform, session, place.shelf(session, tenant), place.path)


def delete(platform: Platform, tenant: str, path: str) -> None:
    """A file or a folder. Raises NotFound."""
    place = read_place(path)
    if not place.path:
        raise InvalidInput("a run's artifacts are deleted one by one", came=path)
    with platform.database.write() as session:
        if not artifacts.remove(session, place.shelf(session, tenant), place.path):
            raise NotFound("No such artifact", came=path[:300])


def _list_path(platform: Platform, tenant: str, asked: ListPath) -> dict[str, Any]:
    place = read_place(asked.path)
    with platform.database.read() as session:
        found = artifacts.listing(session, place.shelf(session, tenant), place.path)
    return filled(files=[_view(f, f.path.rpartition("/")[2]) for f in found])


def _list_run(platform: Platform, tenant: str, asked: List) -> dict[str, Any]:
    """Of one run, with the paths as seen from its root."""
    with platform.database.read() as session:
        run, tracked = external_runs.get_external(session, tenant, asked.id)
        found = artifacts.listing(session, artifacts.shelf_of(run), asked.path.strip("/"))
    return filled(root_uri=_root(tracked), files=[_view(f, f.path) for f in found])


def _root(tracked: TrackedRun) -> str:
    return run_views.artifact_uri(tracked)


def _view(found: ArtifactView, path: str) -> dict[str, Any]:
    return filled(path=path, is_dir=found.is_dir, file_size=found.size)


OPERATIONS: Final = (Operation(method="GET", path="/artifacts/list", asked=List, answer=_list_run),)
LIST_PATH: Final = Operation(
    method="GET", path="/api/2.0/mlflow-artifacts/artifacts", asked=ListPath, answer=_list_path
)
