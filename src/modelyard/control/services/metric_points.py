"""Metrics as clients say them: several values a step, steps before 0, values that are no numbers."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Insert, and_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from modelyard.control.services.notes import check_key
from modelyard.errors import InvalidInput
from modelyard.store.tracking import LatestMetric, MetricPoint

_LARGEST: Final = 2**63 - 1
_PART: Final = 500  # names or runs in one statement


@dataclass(frozen=True, kw_only=True)
class Point:
    """`value` may be NaN or infinite; an infinity is kept as the largest double of its sign, as MLflow keeps it."""

    name: str
    step: int
    time_ms: int
    value: float
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


def log(session: Session, tenant: str, run_id: str, points: Sequence[Point]) -> None:
    """Add points; those that are there already change nothing. Raises InvalidInput."""
    for point in points:
        _check(point)
    rows = {_key(row): row for row in (_row(tenant, run_id, p) for p in points)}
    if rows:
        session.execute(_insert_new(session), list(rows.values()))
        _note_latest(session, tenant, run_id, rows.values())


def history(session: Session, run_id: str, name: str, limit: int, offset: int) -> Sequence[MetricPoint]:
    """The points of one metric in the order of their time."""
    query = select(MetricPoint).where(MetricPoint.run_id == run_id, MetricPoint.name == name)
    order = MetricPoint.time_ms, MetricPoint.step, MetricPoint.value
    return session.scalars(query.order_by(*order).limit(limit).offset(offset)).all()


def curves(session: Session, run_id: str) -> dict[str, list[list[float]]]:
    """Metric -> [step, value] in the order of the steps; of several values at a step the last one."""
    query = select(MetricPoint.name, MetricPoint.step, MetricPoint.value, MetricPoint.nan)
    order = MetricPoint.name, MetricPoint.step, MetricPoint.time_ms
    found: dict[str, dict[int, float]] = {}
    for name, step, value, nan in session.execute(query.where(MetricPoint.run_id == run_id).order_by(*order)):
        found.setdefault(name, {})[step] = math.nan if nan else value
    return {name: [[step, value] for step, value in points.items()] for name, points in found.items()}


def latest(session: Session, run_ids: Sequence[str]) -> dict[str, list[LatestMetric]]:
    """Run -> the newest point of each of its metrics, by name."""
    found: dict[str, list[LatestMetric]] = {run_id: [] for run_id in run_ids}
    for start in range(0, len(run_ids), _PART):
        query = select(LatestMetric).where(LatestMetric.run_id.in_(run_ids[start : start + _PART]))
        for row in session.scalars(query.order_by(LatestMetric.run_id, LatestMetric.name)):
            found[row.run_id].append(row)
    return found


def number(row: MetricPoint | LatestMetric) -> float:
    return math.nan if row.nan else row.value


def _note_latest(session: Session, tenant: str, run_id: str, rows: Iterable[Mapping[str, Any]]) -> None:
    newest: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        there = newest.get(row["name"])
        if there is None or _age(row) > _age(there):
            newest[row["name"]] = row
    known = _known_latest(session, run_id, list(newest))
    for name, row in newest.items():
        now = known.get(name)
        if now is None:
            now = LatestMetric(tenant=tenant, run_id=run_id, name=name)
            session.add(now)
        elif _age(row) < (now.step, now.time_ms, now.value):
            continue
        now.step, now.time_ms, now.value, now.nan = row["step"], row["time_ms"], row["value"], row["nan"]


def _known_latest(session: Session, run_id: str, names: list[str]) -> dict[str, LatestMetric]:
    found: dict[str, LatestMetric] = {}
    for start in range(0, len(names), _PART):
        part = names[start : start + _PART]
        query = select(LatestMetric).where(and_(LatestMetric.run_id == run_id, LatestMetric.name.in_(part)))
        found |= {row.name: row for row in session.scalars(query)}
    return found


def _age(row: Mapping[str, Any]) -> tuple[int, int, float]:
    return row["step"], row["time_ms"], row["value"]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["name"], row["step"], row["time_ms"], row["value"], row["nan"]


def _row(tenant: str, run_id: str, point: Point) -> dict[str, Any]:
    nan = math.isnan(point.value)
    value = 0.0 if nan else max(-sys.float_info.max, min(point.value, sys.float_info.max))
    return {
        "tenant": tenant,
        "run_id": run_id,
        "name": point.name,
        "step": point.step,
        "time_ms": point.time_ms,
        "value": value,
        "nan": nan,
        "model_id": point.model_id,
        "dataset_name": point.dataset_name,
        "dataset_digest": point.dataset_digest,
    }


def _insert_new(session: Session) -> Insert:
    """Both databases understand the words; SQLAlchemy has them in two places."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(MetricPoint).on_conflict_do_nothing()
    return sqlite.insert(MetricPoint).on_conflict_do_nothing()


def _check(point: Point) -> None:
    check_key("metric", point.name)
    for what, value in (("step", point.step), ("time", point.time_ms)):
        if not -_LARGEST <= value <= _LARGEST:
            raise InvalidInput(f"the {what} of a metric", came=value, allowed="64 bits")
