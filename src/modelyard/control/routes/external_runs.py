"""Runs that a client drives itself."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import Field

from modelyard.control.routes import files
from modelyard.control.routes.receiving import receive, size_of
from modelyard.control.routes.request import Body, Here, IdempotencyKey, Tenant, once
from modelyard.control.services import external_runs
from modelyard.control.services.artifacts import ArtifactView
from modelyard.control.services.external_runs import NewExternal
from modelyard.control.services.metric_points import Point
from modelyard.control.services.runs import RunView
from modelyard.errors import InvalidInput

router = APIRouter(prefix="/api/v1/runs", tags=["runs"])
_Path = Annotated[str, Query(max_length=1000)]


class NewExternalRun(Body):
    """`source` says what drives it, as "notebook churn.ipynb"; an experiment that is not there is made."""

    name: str = Field(default="", max_length=500)
    source: str = Field(default="", max_length=1000)
    experiment: str | None = Field(default=None, max_length=500)
    params: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)


class Points(Body):
    """Each point is [name, step, value, time]: value null for what is no number, time in seconds."""

    points: list[list[Any]]


class End(Body):
    """`state`: succeeded, failed or cancelled. `summary`: the figures that lists show."""

    state: str
    summary: dict[str, Any] = Field(default_factory=dict)


@router.post("/external", status_code=201)
def create(request: Request, platform: Here, tenant: Tenant, body: NewExternalRun,
           idempotency_key: IdempotencyKey = None) -> RunView:  # fmt: skip
    """Begin a run that goes on until its end is said."""
    asked = NewExternal(name=body.name, source=body.source, params=body.params, tags=body.tags)
    key = once(request, idempotency_key, body)
    return external_runs.create(platform, tenant, asked, body.experiment, key)


@router.post("/{run}/metrics", status_code=204)
def log(platform: Here, tenant: Tenant, run: str, body: Points) -> None:
    """At most 10,000 points, in one transaction. What is sent twice changes nothing."""
    external_runs.log_points(platform, tenant, run, [_point(values) for values in body.points])


@router.post("/{run}/end")
def end(platform: Here, tenant: Tenant, run: str, body: End) -> RunView:
    return external_runs.finish(platform, tenant, run, body.state, body.summary)


@router.get("/{run}/artifacts")
def list_artifacts(
    platform: Here, tenant: Tenant, run: str, path: _Path = ""
) -> dict[str, list[ArtifactView]]:
    """What lies in a folder of a run of any kind."""
    return {"items": external_runs.list_artifacts(platform, tenant, run, path)}


@router.get("/{run}/artifacts/files/{path:path}")
def show_artifact(platform: Here, tenant: Tenant, run: str, path: str) -> FileResponse:
    return files.answer(external_runs.open_artifact(platform, tenant, run, path), attached=True)


@router.put("/{run}/artifacts/{path:path}", status_code=201)
async def put_artifact(request: Request, platform: Here, tenant: Tenant, run: str, path: str) -> ArtifactView:
    """Keep the body as a file of the run."""
    size = size_of(request)
    kept: list[ArtifactView] = []
    await receive(
        request,
        lambda: external_runs.begin_artifact(platform, tenant, run, path, size),
        lambda writer: kept.append(external_runs.finish_artifact(platform, tenant, run, path, writer)),
    )
    return kept[0]


def _point(values: list[Any]) -> Point:
    """Raises InvalidInput."""
    if len(values) == 4:
        name, step, value, time = values
        number = float("nan") if value is None else value
        if isinstance(name, str) and type(step) is int and _is_number(number) and _is_number(time):
            return Point(name=name, step=step, value=float(number), time_ms=_milliseconds(time))
    raise InvalidInput("a point", came=values, allowed="[name, step, value or null, seconds since the epoch]")


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _milliseconds(seconds: float) -> int:
    if not -(2**53) < seconds < 2**53:
        raise InvalidInput("the time of a point", came=seconds, allowed="seconds since the epoch")
    return round(seconds * 1000)
