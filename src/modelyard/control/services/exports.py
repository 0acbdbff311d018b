"""Bundles: all that another platform needs of a version, as a stream that is never whole anywhere."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import cards, documents, models
from modelyard.control.services.names import read_selector
from modelyard.control.services.references import get_model, get_model_version
from modelyard.files import sha256_bytes
from modelyard.packages import bundle
from modelyard.store.registry import Model, ModelVersion, ReportRow
from modelyard.store.work import Dataset, DatasetVersion, Run
from modelyard.types.package import FileEntry
from modelyard.version import __version__

_PART: Final = 1 << 20
_MOST_PARENTS: Final = 20
_DATE: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Member:
    """`source` is the bytes, or a blob."""

    name: str
    source: bytes | Path
    entry: FileEntry


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What is sent, and the name that it is saved by."""

    filename: str
    members: list[Member]


def prepare(platform: Platform, tenant: str, name: str, version: str) -> Bundle:
    """Raises NotFound, and Corrupt where a file of the version is gone."""
    with platform.database.read() as session:
        model = get_model(session, tenant, name)
        row = get_model_version(session, model, read_selector(version))
        members = [*_package(platform, row), *_reports(platform, session, row), *_texts(session, model, row)]
        manifest = bundle.BundleManifest(
            model=model.name,
            task=model.task,
            digest=row.digest,
            version=row.number,
            summary=row.summary,
            files={m.name: m.entry for m in members},
            made_by=f"modelyard {__version__}",
        )
    head = _bytes(bundle.BUNDLE_NAME, bundle.encode(manifest))
    return Bundle(
        filename=f"{model.name}-{row.number}{bundle.SUFFIX}",
        members=[head, *sorted(members, key=lambda m: m.name)],
    )


def stream(bundle: Bundle) -> Iterator[bytes]:
    """The zip (stored, ZIP64 where it must be), piece by piece."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for member in bundle.members:
            info = zipfile.ZipInfo(member.name, _DATE)
            info.external_attr = 0o100644 << 16
            with archive.open(info, "w", force_zip64=member.entry.size >= 1 << 31) as target:
                for part in _parts(member.source):
                    target.write(part)
                    yield from sink.taken()
    yield from sink.taken()


class _Sink:
    """What zipfile writes, until it is taken. It has no `seek`: sizes follow each member."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def taken(self) -> Iterator[bytes]:
        parts, self._parts = self._parts, []
        if parts:
            yield b"".join(parts)


def _parts(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while part := file.read(_PART):
            yield part


def _bytes(name: str, data: bytes) -> Member:
    return Member(name=name, source=data, entry=FileEntry(sha256=sha256_bytes(data), size=len(data)))


def _stored(platform: Platform, folder: str, files: dict[str, FileEntry]) -> Iterator[Member]:
    for name, entry in files.items():
        with platform.blobs.open(entry.sha256):  # NotFound before the answer has begun
            pass
        yield Member(name=f"{folder}/{name}", source=platform.blobs.path(entry.sha256), entry=entry)


def _package(platform: Platform, row: ModelVersion) -> Iterator[Member]:
    return _stored(platform, bundle.PACKAGE, models.files_of(row))


def _reports(platform: Platform, session: Session, row: ModelVersion) -> Iterator[Member]:
    for number, report in enumerate(_report_rows(session, row), 1):
        yield from _stored(
            platform, f"{bundle.REPORTS}/{number}", msgspec.convert(report.files, dict[str, FileEntry])
        )


def _report_rows(session: Session, row: ModelVersion) -> list[ReportRow]:
    query = select(ReportRow).where(ReportRow.version_id == row.id).order_by(ReportRow.id)
    return list(session.scalars(query))


def _texts(session: Session, model: Model, row: ModelVersion) -> Iterator[Member]:
    yield _bytes(bundle.CARD, cards.of(session, model, row).text.encode())
    yield _bytes(bundle.HISTORY, bundle.encode(_history(session, row)))
    passport = {"digest": row.digest, "reports": [_entry(r) for r in _report_rows(session, row)]}
    yield _bytes(bundle.PASSPORT, msgspec.json.encode(passport, order="sorted"))


def _entry(report: ReportRow) -> dict[str, Any]:
    said = report.report
    interval = said["interval"]
    return {
        "dataset": said["dataset"],
        "dataset_digest": said["dataset_digest"],
        "split": said["split"],
        "rows": said["rows"],
        "metric": said["metrics"]["main"],
        "value": interval["value"],
        "low": interval["low"],
        "high": interval["high"],
        "report": report.files.get("report.json"),
    }


def _history(session: Session, row: ModelVersion) -> bundle.History:
    return bundle.History(
        run=_run(session, row),
        dataset=_dataset(session, row),
        parents=tuple(_parents(session, row)),
        before=documents.of(session, row).history,
    )


def _run(session: Session, row: ModelVersion) -> dict[str, Any] | None:
    run = session.get(Run, row.run_id) if row.run_id else None
    if run is None:
        return None
    return {
        "id": run.id,
        "kind": run.kind,
        "params": run.params,
        "summary": run.summary,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }


def _dataset(session: Session, row: ModelVersion) -> dict[str, Any] | None:
    mine = DatasetVersion.tenant == row.tenant, DatasetVersion.digest == row.dataset_digest
    query = select(Dataset.name, DatasetVersion).join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
    found = session.execute(query.where(*mine).limit(1)).first()
    if found is None:
        return None
    name, version = found
    return {"name": name, "version": version.number, "digest": version.digest, "manifest": version.manifest}


def _parents(session: Session, row: ModelVersion) -> Iterator[dict[str, Any]]:
    parent, seen = row.parent, {row.digest}
    for _ in range(_MOST_PARENTS):
        query = select(ModelVersion).where(ModelVersion.tenant == row.tenant, ModelVersion.digest == parent)
        found = session.scalar(query.limit(1)) if parent and parent not in seen else None
        if found is None:
            return
        seen.add(found.digest)
        yield {"digest": found.digest, "manifest": found.manifest}
        parent = found.parent
