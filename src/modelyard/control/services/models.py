"""Models, their versions and what a version is made of."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import documents
from modelyard.control.services.aliases import aliases_of, check_no_alias
from modelyard.control.services.files import StoredFile, open_stored
from modelyard.control.services.names import read_selector
from modelyard.control.services.pages import Page, PageRequest, fetch
from modelyard.control.services.references import check_no_run, find_model, get_model, get_model_version
from modelyard.control.services.reports import ReportView, reports_of
from modelyard.errors import Conflict, NotFound
from modelyard.store.links import link, unlink
from modelyard.store.registry import Deployment, DeploymentVersion, Model, ModelVersion, ReportRow
from modelyard.store.work import Run
from modelyard.types.ids import new_id
from modelyard.types.package import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    encode_manifest,
    manifest_digest,
)


@dataclass(frozen=True, kw_only=True)
class VersionView:
    """`manifest`, `files`, `reports` and `history` stand in the view of one version alone; `history` is what a
    bundle brought (packages.bundle.History)."""

    version: int
    digest: str
    formats: list[str]
    net: str | None
    summary: dict[str, Any]
    run: str | None
    dataset: str | None
    dataset_digest: str | None
    parent: str | None
    created_at: float
    files: dict[str, dict[str, Any]] | None = None
    manifest: dict[str, Any] | None = None
    reports: list[ReportView] | None = None
    history: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """`versions` the newest first; in lists, only the newest. `aliases` maps an alias to a version's
    number."""

    name: str
    task: str
    created_at: float
    latest: VersionView | None
    versions: list[VersionView]
    aliases: dict[str, int]


def list_models(platform: Platform, tenant: str, request: PageRequest) -> Page[ModelView]:
    """Those that have a version. The name of one that has none left is kept, so that its numbers go on."""
    some = exists().where(ModelVersion.model_id == Model.id)
    query = select(Model).where(Model.tenant == tenant, some)
    with platform.database.read() as session:
        rows, cursor = fetch(session, query, Model.name, request)
        return Page(items=[_view(session, row, newest_only=True) for row in rows], next=cursor)


def show(platform: Platform, tenant: str, name: str) -> ModelView:
    """Raises NotFound."""
    with platform.database.read() as session:
        return _view(session, get_model(session, tenant, name))


def show_version(platform: Platform, tenant: str, name: str, version: str) -> VersionView:
    """Raises NotFound."""
    with platform.database.read() as session:
        row = get_model_version(session, get_model(session, tenant, name), read_selector(version))
        history = documents.of(session, row).history
        return replace(_version_view(row, reports=reports_of(session, row.id)), history=history)


def open_file(platform: Platform, tenant: str, name: str, version: str, file: str) -> StoredFile:
    """One file of a version's package. Raises NotFound."""
    with platform.database.read() as session:
        row = get_model_version(session, get_model(session, tenant, name), read_selector(version))
    return open_stored(platform, files_of(row), file)


def delete_version(platform: Platform, tenant: str, name: str, version: str) -> None:
    """Raises NotFound, and Conflict where the version serves, has an alias or is being worked on."""
    with platform.database.write() as session:
        row = get_model_version(session, get_model(session, tenant, name), read_selector(version))
        _check_idle(session, row)
        check_no_alias(session, row)
        for report in session.scalars(select(ReportRow.id).where(ReportRow.version_id == row.id)):
            unlink(session, tenant, report)
        unlink(session, tenant, row.id)
        session.delete(row)


def publish(session: Session, run: Run, name: str, manifest: Manifest, now: float) -> ModelVersion:
    """The version of a package that a run made; its files are blobs already. Raises Conflict where the
    model has another task."""
    return add_version(session, run.tenant, name, manifest, now, run.id)


def add_version(session: Session, tenant: str, name: str, manifest: Manifest, now: float,
                run_id: str | None) -> ModelVersion:  # fmt: skip
    """The same for a version that no run of ours made."""
    model = _get_or_make(session, tenant, name, manifest.task, now)
    digest = manifest_digest(manifest)
    same = select(ModelVersion).where(ModelVersion.model_id == model.id, ModelVersion.digest == digest)
    if (there := session.scalar(same)) is not None:
        return there
    row = ModelVersion(
        id=new_id("mv"),
        tenant=tenant,
        model_id=model.id,
        number=model.next_number,
        digest=digest,
        manifest=msgspec.to_builtins(manifest),
        summary={},
        run_id=run_id,
        dataset_digest=manifest.lineage.dataset_digest,
        parent=manifest.lineage.parent,
        created_at=now,
    )
    model.next_number += 1
    session.add(row)
    session.flush()
    link(session, tenant, row.id, files_of(row).values(), now)
    return row


def check_task(model: Model | None, task: str) -> None:
    """Raises Conflict where the model is there with another task."""
    if model is not None and model.task != task:
        raise Conflict(f"the model {model.name!r} is there already, for the task {model.task!r}", came=task)


def files_of(row: ModelVersion) -> dict[str, FileEntry]:
    """Every file of a version's package by its name, the manifest among them."""
    manifest = msgspec.convert(row.manifest, Manifest)
    own = FileEntry(sha256=row.digest, size=len(encode_manifest(manifest)))
    return {**manifest.files, MANIFEST_NAME: own}


def materialise(platform: Platform, session: Session, version_id: str, folder: Path) -> None:
    """Put a version's package into `folder`. Raises NotFound."""
    row = session.get(ModelVersion, version_id)
    if row is None:
        raise NotFound("the model version is gone")
    platform.blobs.link_into(folder, files_of(row))


def _check_idle(session: Session, row: ModelVersion) -> None:
    serving = select(Deployment.name).join(
        DeploymentVersion, DeploymentVersion.deployment_id == Deployment.id
    )
    name = session.scalar(serving.where(DeploymentVersion.version_id == row.id).limit(1))
    if name is not None:
        raise Conflict(f"the version serves in the deployment {name!r}; take it out first")
    check_no_run(session, row)


def takes_task(session: Session, model: Model, task: str) -> bool:
    """Whether a version for this task may join the model; one whose versions are all refused takes the task on."""
    if model.task != task and _only_refused(session, model):
        model.task = task  # nobody has looked into what it holds until now
    return model.task == task


def _only_refused(session: Session, model: Model) -> bool:
    """Whether none of its versions can be deployed."""
    manifests = session.scalars(select(ModelVersion.manifest).where(ModelVersion.model_id == model.id))
    return all("refusal" in manifest for manifest in manifests)


def _get_or_make(session: Session, tenant: str, name: str, task: str, now: float) -> Model:
    row = find_model(session, tenant, name)
    if row is not None and not takes_task(session, row, task):
        check_task(row, task)
    if row is None:
        row = Model(id=new_id("model"), tenant=tenant, name=name, task=task, next_number=1, created_at=now)
        session.add(row)
        session.flush()
    return row


def _view(session: Session, model: Model, *, newest_only: bool = False) -> ModelView:
    query = select(ModelVersion).where(ModelVersion.model_id == model.id).order_by(ModelVersion.number.desc())
    versions = [_version_view(v) for v in session.scalars(query.limit(1) if newest_only else query)]
    return ModelView(
        name=model.name,
        task=model.task,
        created_at=model.created_at,
        latest=versions[0] if versions else None,
        versions=versions,
        aliases=aliases_of(session, model),
    )


def _version_view(row: ModelVersion, reports: list[ReportView] | None = None) -> VersionView:
    manifest = msgspec.convert(row.manifest, Manifest)
    whole = reports is not None
    return VersionView(
        version=row.number,
        digest=row.digest,
        formats=sorted(manifest.formats),
        net=manifest.net.name if manifest.net else None,
        summary=row.summary,
        run=row.run_id,
        dataset=manifest.lineage.dataset,
        dataset_digest=row.dataset_digest,
        parent=row.parent,
        created_at=row.created_at,
        files=msgspec.to_builtins(files_of(row)) if whole else None,
        manifest=row.manifest if whole else None,
        reports=reports,
    )
