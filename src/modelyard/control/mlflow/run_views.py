"""Runs as MLflow's clients see them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.mlflow.wire import as_number, filled, pairs
from modelyard.control.services import metric_points, notes
from modelyard.control.services.external_runs import RUN_PARAM, RUN_TAG
from modelyard.store.tracking import LatestMetric, MetricPoint, RunDataset, RunModel, TrackedRun

CONTEXT_TAG = "mlflow.data.context"
NAME_TAG, USER_TAG = "mlflow.runName", "mlflow.user"
_PART = 500


def info(row: TrackedRun) -> dict[str, Any]:
    return filled(
        run_uuid=row.run_id,
        run_id=row.run_id,
        experiment_id=str(row.experiment),
        run_name=row.name,
        user_id=row.user,
        status=row.status,
        start_time=row.start_ms,
        end_time=row.end_ms,
        artifact_uri=artifact_uri(row),
        lifecycle_stage=row.state,
    )


def artifact_uri(row: TrackedRun) -> str:
    return f"mlflow-artifacts:/{row.experiment}/{row.run_id}/artifacts"


def whole(session: Session, tenant: str, rows: Sequence[TrackedRun]) -> list[dict[str, Any]]:
    """With their data, inputs and outputs; a fixed number of questions for any number of runs."""
    ids = [row.run_id for row in rows]
    metrics = metric_points.latest(session, ids)
    params, tags = (notes.read(session, tenant, kind, ids) for kind in (RUN_PARAM, RUN_TAG))
    datasets, models = _datasets(session, ids), _models(session, ids)
    return [
        {
            "info": info(row),
            "data": filled(
                metrics=[metric(m) for m in metrics[row.run_id]],
                params=pairs(params[row.run_id]),
                tags=pairs(tags[row.run_id]),
            ),
            "inputs": filled(
                dataset_inputs=[_dataset(d) for d in datasets[row.run_id]],
                model_inputs=[{"model_id": m.model_id} for m in models[row.run_id] if m.role == "input"],
            ),
            "outputs": filled(
                model_outputs=[
                    {"model_id": m.model_id, "step": m.step} for m in models[row.run_id] if m.role == "output"
                ]
            ),
        }
        for row in rows
    ]


def metric(row: MetricPoint | LatestMetric) -> dict[str, Any]:
    said: dict[str, Any] = {
        "key": row.name,
        "value": as_number(metric_points.number(row)),
        "timestamp": row.time_ms,
        "step": row.step,
    }
    if isinstance(row, MetricPoint):
        said |= filled(
            model_id=row.model_id, dataset_name=row.dataset_name, dataset_digest=row.dataset_digest
        )
    return said


def _dataset(row: RunDataset) -> dict[str, Any]:
    tags = dict(row.tags) | ({} if row.context is None else {CONTEXT_TAG: row.context})
    return {
        "tags": pairs(tags),
        "dataset": filled(
            name=row.name,
            digest=row.digest,
            source_type=row.source_type,
            source=row.source,
            schema=row.schema,
            profile=row.profile,
        ),
    }


def _datasets(session: Session, ids: list[str]) -> dict[str, list[RunDataset]]:
    found: dict[str, list[RunDataset]] = {run_id: [] for run_id in ids}
    for start in range(0, len(ids), _PART):
        query = select(RunDataset).where(RunDataset.run_id.in_(ids[start : start + _PART]))
        for row in session.scalars(query.order_by(RunDataset.run_id, RunDataset.name, RunDataset.digest)):
            found[row.run_id].append(row)
    return found


def _models(session: Session, ids: list[str]) -> dict[str, list[RunModel]]:
    found: dict[str, list[RunModel]] = {run_id: [] for run_id in ids}
    for start in range(0, len(ids), _PART):
        query = select(RunModel).where(RunModel.run_id.in_(ids[start : start + _PART]))
        for row in session.scalars(query.order_by(RunModel.run_id, RunModel.step, RunModel.model_id)):
            found[row.run_id].append(row)
    return found
