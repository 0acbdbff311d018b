"""Searching runs."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from sqlalchemy import Select, String, and_, cast, literal, select

from modelyard.control.mlflow import run_views, search
from modelyard.control.mlflow.experiments import states_of
from modelyard.control.mlflow.search import Attribute, DatasetSource, MetricSource, PageAsked, Searchable
from modelyard.control.mlflow.wire import Asked, Operation, filled, limit_of
from modelyard.control.platform import Platform
from modelyard.control.services.external_runs import RUN_PARAM, RUN_TAG
from modelyard.errors import InvalidInput
from modelyard.store.tracking import LatestMetric, RunDataset, TrackedRun

_MOST_EXPERIMENTS: Final = 1000


class Search(Asked, frozen=True, kw_only=True):
    LISTS: ClassVar[frozenset[str]] = frozenset({"experiment_ids", "order_by"})
    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    run_view_type: str = "ACTIVE_ONLY"
    max_results: int | None = None
    order_by: tuple[str, ...] = ()
    page_token: str | None = None


def _search(platform: Platform, tenant: str, asked: Search) -> dict[str, Any]:
    noun = searchable(tenant)
    page = PageAsked(limit=limit_of(asked.max_results, 1000), token=asked.page_token, secret=platform.secret)
    query: Select[Any] = select(TrackedRun).where(
        TrackedRun.tenant == tenant,
        TrackedRun.experiment.in_(experiment_numbers(asked.experiment_ids)),
        TrackedRun.state.in_(states_of(asked.run_view_type)),
        *search.where(noun, asked.filter),
    )
    with platform.database.read() as session:
        rows, token = search.fetch(session, query.order_by(*search.order(noun, asked.order_by)), page)
        views = run_views.whole(session, tenant, [row[0] for row in rows])
    return filled(runs=views, next_page_token=token)


def experiment_numbers(ids: Sequence[str]) -> list[int]:
    """What can be no experiment's number finds nothing. Raises InvalidInput for too many."""
    if len(ids) > _MOST_EXPERIMENTS:
        raise InvalidInput("too many experiments", came=len(ids), allowed=_MOST_EXPERIMENTS)
    return [int(i) for i in ids if i.isascii() and i.isdigit() and len(i) < 10]


def searchable(tenant: str) -> Searchable:
    """What filters of runs may name."""
    start = Attribute(column=TrackedRun.start_ms.expression, kind="number")
    place = literal("mlflow-artifacts:/") + cast(TrackedRun.experiment, String) + "/"
    name = Attribute(column=TrackedRun.name.expression)
    return Searchable(
        tenant=tenant,
        attributes={
            "run_id": Attribute(column=TrackedRun.run_id.expression),
            "run_name": name,
            "run name": name,
            "Run name": name,
            "Run Name": name,
            "status": Attribute(column=TrackedRun.status.expression),
            "user_id": Attribute(column=TrackedRun.user.expression),
            "artifact_uri": Attribute(column=place + TrackedRun.run_id + "/artifacts"),
            "start_time": start,
            "created": start,
            "Created": start,
            "end_time": Attribute(column=TrackedRun.end_ms.expression, kind="number"),
        },
        owner=TrackedRun.run_id.expression,
        notes={"tag": RUN_TAG, "param": RUN_PARAM},
        metric=_metric,
        dataset=DatasetSource(
            columns={
                "name": RunDataset.name.expression,
                "digest": RunDataset.digest.expression,
                "context": RunDataset.context.expression,
            },
            mine=RunDataset.run_id == TrackedRun.run_id,
        ),
        last=(TrackedRun.start_ms.desc(), TrackedRun.run_id),
    )


def _metric(name: str) -> MetricSource:
    return MetricSource(
        value=LatestMetric.value.expression,
        nan=LatestMetric.nan.expression,
        mine=and_(LatestMetric.run_id == TrackedRun.run_id, LatestMetric.name == name),
    )


OPERATIONS: Final = (Operation(method="POST", path="/runs/search", asked=Search, answer=_search),)
