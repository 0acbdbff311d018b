"""What evaluations found of a version."""

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.files import StoredFile, open_stored
from modelyard.control.services.names import known_id, read_selector
from modelyard.control.services.references import get_model, get_model_version
from modelyard.errors import NotFound
from modelyard.store.links import link
from modelyard.store.registry import ModelVersion, ReportRow
from modelyard.store.work import Run
from modelyard.types.ids import new_id
from modelyard.types.package import FileEntry
from modelyard.types.report import Report


@dataclass(frozen=True, kw_only=True)
class ReportView:
    """`metrics` is types.report.Metrics without its curves; files/report.json has everything."""

    id: str
    dataset: str
    dataset_digest: str
    split: str
    rows: int
    metrics: dict[str, Any]
    interval: dict[str, Any]
    fit: dict[str, Any] | None
    files: list[str]
    run: str | None
    created_at: float


@dataclass(frozen=True, kw_only=True)
class FoundReport:
    """What a run made; its files are blobs already."""

    report: Report
    files: dict[str, FileEntry]


def reports_of(session: Session, version_id: str) -> list[ReportView]:
    """The newest first."""
    query = select(ReportRow).where(ReportRow.version_id == version_id).order_by(ReportRow.id.desc())
    return [_view(row) for row in session.scalars(query)]


def open_file(
    platform: Platform, tenant: str, reference: tuple[str, str], report: str, file: str
) -> StoredFile:
    """One file of a report of the model and version in `reference`; `report` is an id, or "latest". Raises
    NotFound."""
    name, version = reference
    with platform.database.read() as session:
        row = get_model_version(session, get_model(session, tenant, name), read_selector(version))
        found = _get(session, row, report)
    return open_stored(platform, msgspec.convert(found.files, dict[str, FileEntry]), file)


def publish(session: Session, run: Run, version: ModelVersion, found: FoundReport, now: float) -> ReportRow:
    """Add a report to its version."""
    whole = msgspec.structs.replace(
        found.report, history={}, metrics=msgspec.structs.replace(found.report.metrics, curves={})
    )
    row = ReportRow(
        id=new_id("report"),
        tenant=run.tenant,
        version_id=version.id,
        run_id=run.id,
        report=msgspec.to_builtins(whole),
        files=msgspec.to_builtins(found.files),
        created_at=now,
    )
    session.add(row)
    session.flush()
    link(session, run.tenant, row.id, found.files.values(), now)
    return row


def _get(session: Session, version: ModelVersion, report: str) -> ReportRow:
    query = select(ReportRow).where(ReportRow.version_id == version.id)
    if report != "latest":
        query = query.where(ReportRow.id == known_id("report", report))
    row = session.scalar(query.order_by(ReportRow.id.desc()).limit(1))
    if row is None:
        raise NotFound("the version has no such report")
    return row


def _view(row: ReportRow) -> ReportView:
    report = row.report
    return ReportView(
        id=row.id,
        dataset=report["dataset"],
        dataset_digest=report["dataset_digest"],
        split=report["split"],
        rows=report["rows"],
        metrics=report["metrics"],
        interval=report["interval"],
        fit=report.get("fit"),
        files=sorted(row.files),
        run=row.run_id,
        created_at=row.created_at,
    )
