"""Data sets and their versions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.files import StoredFile, open_stored
from modelyard.control.services.names import read_selector
from modelyard.control.services.pages import Page, PageRequest, fetch
from modelyard.control.services.references import check_no_run, get_dataset, get_dataset_version
from modelyard.errors import NotFound
from modelyard.store.links import link, unlink
from modelyard.store.work import Dataset, DatasetVersion, Run
from modelyard.types.dataset import DATASET_MANIFEST_NAME, DatasetManifest
from modelyard.types.ids import new_id
from modelyard.types.package import FileEntry


@dataclass(frozen=True, kw_only=True)
class DatasetVersionView:
    """`manifest` stands in the view of one version alone."""

    version: int
    digest: str
    rows: int
    split_rows: dict[str, int]
    label: str | None
    run: str | None
    created_at: float
    files: dict[str, dict[str, Any]] | None = None
    manifest: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetView:
    """`versions` the newest first; in lists, only the newest."""

    name: str
    created_at: float
    latest: DatasetVersionView | None
    versions: list[DatasetVersionView]


@dataclass(frozen=True, kw_only=True)
class FoundDataset:
    """What a run made: the manifest, and the files that it does not name: dataset.json itself, whose digest
    is the version's, and the profile. All of them are blobs already."""

    manifest: DatasetManifest
    beside: dict[str, FileEntry]


def list_datasets(platform: Platform, tenant: str, request: PageRequest) -> Page[DatasetView]:
    """Those that have a version. The name of one that has none left is kept, so that its numbers go on."""
    some = exists().where(DatasetVersion.dataset_id == Dataset.id)
    query = select(Dataset).where(Dataset.tenant == tenant, some)
    with platform.database.read() as session:
        rows, cursor = fetch(session, query, Dataset.name, request)
        return Page(items=[_view(row, _versions(session, row, most=1)) for row in rows], next=cursor)


def show(platform: Platform, tenant: str, name: str) -> DatasetView:
    """Raises NotFound."""
    with platform.database.read() as session:
        dataset = get_dataset(session, tenant, name)
        return _view(dataset, _versions(session, dataset))


def show_version(platform: Platform, tenant: str, name: str, version: str) -> DatasetVersionView:
    """Raises NotFound."""
    with platform.database.read() as session:
        row = get_dataset_version(session, get_dataset(session, tenant, name), read_selector(version))
        return _version_view(row, whole=True)


def open_file(platform: Platform, tenant: str, name: str, version: str, file: str) -> StoredFile:
    """One file of a version. Raises NotFound."""
    with platform.database.read() as session:
        row = get_dataset_version(session, get_dataset(session, tenant, name), read_selector(version))
    return open_stored(platform, files_of(row), file)


def delete_version(platform: Platform, tenant: str, name: str, version: str) -> None:
    """Raises NotFound, and Conflict where a run that has not ended works on it."""
    with platform.database.write() as session:
        dataset = get_dataset(session, tenant, name)
        row = get_dataset_version(session, dataset, read_selector(version))
        check_no_run(session, row)
        unlink(session, tenant, row.id)
        session.delete(row)


def publish(session: Session, run: Run, name: str, found: FoundDataset, now: float) -> DatasetVersion:
    """The version of what a run made: a new one, or the one that has this content already."""
    dataset = _get_or_make(session, run.tenant, name, now)
    digest = found.beside[DATASET_MANIFEST_NAME].sha256
    same = select(DatasetVersion).where(
        DatasetVersion.dataset_id == dataset.id, DatasetVersion.digest == digest
    )
    if (there := session.scalar(same)) is not None:
        return there
    row = DatasetVersion(
        id=new_id("dsv"),
        tenant=run.tenant,
        dataset_id=dataset.id,
        number=dataset.next_number,
        digest=digest,
        manifest=msgspec.to_builtins(found.manifest),
        beside=msgspec.to_builtins(found.beside),
        run_id=run.id,
        created_at=now,
    )
    dataset.next_number += 1
    session.add(row)
    session.flush()
    link(session, run.tenant, row.id, files_of(row).values(), now)
    return row


def files_of(row: DatasetVersion) -> dict[str, FileEntry]:
    """Every file of a version by its name, the manifest among them."""
    manifest = msgspec.convert(row.manifest, DatasetManifest)
    return {**msgspec.convert(row.beside, dict[str, FileEntry]), **manifest.files}


def materialise(platform: Platform, session: Session, version_id: str, folder: Path) -> None:
    """Put a version's files into `folder`. Raises NotFound."""
    row = session.get(DatasetVersion, version_id)
    if row is None:
        raise NotFound("the data set version is gone")
    platform.blobs.link_into(folder, files_of(row))


def _get_or_make(session: Session, tenant: str, name: str, now: float) -> Dataset:
    row = session.scalar(select(Dataset).where(Dataset.tenant == tenant, Dataset.name == name))
    if row is None:
        row = Dataset(id=new_id("ds"), tenant=tenant, name=name, next_number=1, created_at=now)
        session.add(row)
        session.flush()
    return row


def _versions(session: Session, dataset: Dataset, most: int | None = None) -> list[DatasetVersion]:
    query = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    return list(session.scalars(query.order_by(DatasetVersion.number.desc()).limit(most)))


def _view(dataset: Dataset, versions: list[DatasetVersion]) -> DatasetView:
    views = [_version_view(v) for v in versions]
    return DatasetView(name=dataset.name, created_at=dataset.created_at, latest=views[0] if views else None,
                       versions=views)  # fmt: skip


def _version_view(row: DatasetVersion, *, whole: bool = False) -> DatasetVersionView:
    manifest = row.manifest
    return DatasetVersionView(
        version=row.number,
        digest=row.digest,
        rows=manifest["rows"],
        split_rows=manifest["split_rows"],
        label=manifest["schema"].get("label"),
        run=row.run_id,
        created_at=row.created_at,
        files=msgspec.to_builtins(files_of(row)) if whole else None,
        manifest=manifest if whole else None,
    )
