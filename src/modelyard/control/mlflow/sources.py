"""Where the files of a version come from: the URIs that clients give."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.mlflow import logged_models, registry
from modelyard.control.services import artifacts
from modelyard.control.services.artifacts import Shelf
from modelyard.control.services.runs import get_run
from modelyard.errors import InvalidInput, NotFound
from modelyard.store.tracking import ACTIVE, LoggedModel, RegisteredAlias, TrackedRun
from modelyard.types.package import FileEntry

_DEEPEST: Final = 8  # copies of copies
_LOGGED: Final = re.compile(r"models:/(m-[0-9a-z]+)/?")
_VERSION: Final = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<number>\d+)|@(?P<alias>[\w-]+))")
_RUN: Final = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)", re.DOTALL)
_RUN_FILES: Final = re.compile(
    r"mlflow-artifacts:/+\d+/(?P<run>run_[^/]+)/artifacts/?(?P<path>.*)", re.DOTALL
)
_LOGGED_FILES: Final = re.compile(
    r"mlflow-artifacts:/+\d+/models/(?P<id>m-[^/]+)/artifacts/?(?P<path>.*)", re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """`location` is the folder's URI; the run and the logged model that made it, where they are known."""

    location: str
    shelf: Shelf
    folder: str
    run_id: str | None
    logged_id: str | None

    def files(self, session: Session) -> dict[str, FileEntry]:
        return artifacts.tree(session, self.shelf, self.folder)


def resolve(session: Session, tenant: str, uri: str, depth: int = 0) -> Source:
    """Raises NotFound for what is not there, InvalidInput for what is elsewhere."""
    if depth > _DEEPEST:
        raise InvalidInput("the source is a copy of a copy too often", came=uri)
    if match := _LOGGED.fullmatch(uri):
        return _of_logged(logged_models.get(session, tenant, match[1]), "")
    if match := _VERSION.fullmatch(uri):
        return resolve(session, tenant, _version_source(session, tenant, match), depth + 1)
    if match := _LOGGED_FILES.fullmatch(uri):
        return _of_logged(logged_models.get(session, tenant, match["id"]), match["path"].strip("/"))
    if match := _RUN.fullmatch(uri) or _RUN_FILES.fullmatch(uri):
        return _of_run(session, tenant, match["run"], unquote(match["path"]).strip("/"))
    raise InvalidInput("Invalid model version source", came=uri[:300],
                       allowed="runs:/RUN/PATH, models:/ID, models:/NAME/VERSION, mlflow-artifacts:/... of this "
                               "platform; files elsewhere are first logged here")  # fmt: skip


def _version_source(session: Session, tenant: str, match: re.Match[str]) -> str:
    model = registry.get_model(session, tenant, unquote(match["name"]))
    number = match["number"]
    if number is None:
        alias = session.get(RegisteredAlias, (model.id, match["alias"]))
        if alias is None:
            raise NotFound(f"Registered model alias {match['alias'][:200]} not found.")
        number = str(alias.number)
    return registry.get_version(session, model, number).location


def _of_logged(row: LoggedModel, folder: str) -> Source:
    base = logged_models.artifact_uri(row)
    return Source(
        location=f"{base}/{folder}" if folder else base,
        shelf=artifacts.shelf_of(row),
        folder=folder,
        run_id=row.run_id,
        logged_id=row.id,
    )


def _of_run(session: Session, tenant: str, run_id: str, path: str) -> Source:
    """Where the run has nothing of that path, the model that it logged under that name is meant."""
    run = get_run(session, tenant, run_id)
    shelf = artifacts.shelf_of(run)
    if not artifacts.tree(session, shelf, path):
        named = LoggedModel.run_id == run.id, LoggedModel.name == path, LoggedModel.state == ACTIVE
        row = session.scalar(
            select(LoggedModel).where(*named).order_by(LoggedModel.created_ms.desc()).limit(1)
        )
        if row is None:
            raise NotFound(f"the run has no artifacts at {path[:200]!r}")
        return _of_logged(row, "")
    tracked = session.get(TrackedRun, run.id)
    location = f"mlflow-artifacts:/{tracked.experiment if tracked else 0}/{run.id}/artifacts/{path}"
    return Source(location=location, shelf=shelf, folder=path, run_id=run.id, logged_id=None)
