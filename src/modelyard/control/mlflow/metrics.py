"""Metrics on MLflow's wire: one, many, and their history."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.orm import Session

from modelyard.control.mlflow import run_views
from modelyard.control.mlflow.run_views import NAME_TAG
from modelyard.control.mlflow.runs import One, active_run, set_tags
from modelyard.control.mlflow.wire import Asked, Operation, Pair, filled, limit_of, notes_of, required
from modelyard.control.platform import Platform
from modelyard.control.services import external_runs, metric_points
from modelyard.control.services.metric_points import Point
from modelyard.control.services.pages import read_place, write_place
from modelyard.errors import InvalidInput
from modelyard.store.tracking import LoggedModel
from modelyard.store.work import Run

_MOST_METRICS: Final = 1000
_MOST_NOTES: Final = 100
_MOST_ALL: Final = 1000
_HISTORY: Final = 25_000


class Metric(Asked, frozen=True, kw_only=True):
    key: str = ""
    value: float = 0.0
    timestamp: int = 0
    step: int = 0
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None

    def point(self) -> Point:
        return Point(
            name=required("key", self.key),
            step=self.step,
            time_ms=self.timestamp,
            value=self.value,
            model_id=self.model_id or None,
            dataset_name=self.dataset_name or None,
            dataset_digest=self.dataset_digest or None,
        )


class LogMetric(Metric, frozen=True, kw_only=True):
    run_id: str = ""
    run_uuid: str = ""


class LogBatch(One, frozen=True, kw_only=True):
    metrics: tuple[Metric, ...] = ()
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class History(One, frozen=True, kw_only=True):
    metric_key: str = ""
    max_results: int | None = None
    page_token: str | None = None


def _log_metric(platform: Platform, tenant: str, asked: LogMetric) -> dict[str, Any]:
    with platform.database.write() as session:
        run, _ = active_run(session, tenant, required("run_id", asked.run_id or asked.run_uuid))
        _log(session, run, [asked.point()])
    return {}


def _log_batch(platform: Platform, tenant: str, asked: LogBatch) -> dict[str, Any]:
    """All of it or nothing."""
    _check_size(asked)
    points = [metric.point() for metric in asked.metrics]
    with platform.database.write() as session:
        run, tracked = active_run(session, tenant, asked.id)
        external_runs.set_params(session, run, _unique(asked.params))
        _log(session, run, points)
        if asked.tags:
            set_tags(session, run, tracked, notes_of(asked.tags))
            if NAME_TAG in notes_of(asked.tags):
                run.params = run.params | {"name": tracked.name}
    return {}


def _log(session: Session, run: Run, points: list[Point]) -> None:
    for model_id in {p.model_id for p in points if p.model_id is not None}:
        model = session.get(LoggedModel, model_id)
        if model is None or model.tenant != run.tenant:
            raise InvalidInput(f"there is no logged model {model_id[:80]!r}")
    metric_points.log(session, run.tenant, run.id, points)


def _history(platform: Platform, tenant: str, asked: History) -> dict[str, Any]:
    limit = min(limit_of(asked.max_results, _HISTORY, 10**9), _HISTORY) if asked.max_results else _HISTORY
    place = read_place(asked.page_token, platform.secret) if asked.page_token else "0"
    offset = int(place) if place.isdigit() else 0
    with platform.database.read() as session:
        run, _ = external_runs.get_external(session, tenant, asked.id)
        key = required("metric_key", asked.metric_key)
        rows = metric_points.history(session, run.id, key, limit + 1, offset)
    more = write_place(str(offset + limit), platform.secret) if len(rows) > limit else None
    return filled(metrics=[run_views.metric(row) for row in rows[:limit]], next_page_token=more)


def _check_size(asked: LogBatch) -> None:
    for what, given, most in (
        ("metrics", asked.metrics, _MOST_METRICS),
        ("params", asked.params, _MOST_NOTES),
        ("tags", asked.tags, _MOST_NOTES),
    ):
        if len(given) > most:
            raise InvalidInput(f"A batch logging request can contain at most {most} {what}", came=len(given))
    total = len(asked.metrics) + len(asked.params) + len(asked.tags)
    if total > _MOST_ALL:
        raise InvalidInput(f"A batch logging request can contain at most {_MOST_ALL} entities", came=total)


def _unique(given: Sequence[Pair]) -> dict[str, str]:
    params = notes_of(given)
    if any(params[pair.key] != pair.value for pair in given):
        raise InvalidInput("Duplicate parameter keys have been submitted with different values")
    return params


OPERATIONS: Final = (
    Operation(method="POST", path="/runs/log-metric", asked=LogMetric, answer=_log_metric),
    Operation(method="POST", path="/runs/log-batch", asked=LogBatch, answer=_log_batch),
    Operation(method="GET", path="/metrics/get-history", asked=History, answer=_history),
)
