"""From a registered folder to a version here: an import of the files that an engine opens, or a version that is
kept and refused; and what registry and platform say of each other after."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.mlflow import flavours
from modelyard.control.mlflow.flavours import MLMODEL, Importable
from modelyard.control.mlflow.registry import FAILED, PENDING, READY
from modelyard.control.mlflow.sources import Source
from modelyard.control.platform import Platform
from modelyard.control.services import models, runs
from modelyard.control.services.names import is_name
from modelyard.control.services.plans import Input, Plan, plan_import
from modelyard.control.services.references import find_model
from modelyard.errors import NotFound
from modelyard.store.registry import Alias, Model, ModelVersion
from modelyard.store.tracking import RegisteredAlias, RegisteredModel, RegisteredVersion
from modelyard.store.work import Run
from modelyard.types.package import FileEntry, Lineage, Manifest, encode_manifest
from modelyard.types.run import END_STATES
from modelyard.types.tensor import Signature

_TASK: Final = "tensors"  # of what nobody looked into


def begin(platform: Platform, session: Session, model: RegisteredModel, row: RegisteredVersion,
          source: Source) -> None:  # fmt: skip
    """Make a version of a source's files, or begin to."""
    files = source.files(session)
    found = flavours.read(_mlmodel(platform, files), files)
    if isinstance(found, Importable):
        plan = _plan(session, model, source, found, files)
        row.import_run = runs.queue(platform, session, row.tenant, "import", plan).id
        row.status = PENDING
    else:
        row.version_id = _keep_refused(platform, session, model, source, found.reason, files).id
        row.status, row.status_message = READY, found.reason


def settle(platform: Platform, tenant: str) -> None:
    """Look which imports have ended."""
    pending = select(RegisteredVersion).where(
        RegisteredVersion.tenant == tenant, RegisteredVersion.status == PENDING
    )
    ended = pending.join(Run, Run.id == RegisteredVersion.import_run).where(Run.state.in_(END_STATES))
    with platform.database.read() as session:
        if session.scalar(ended.limit(1)) is None:
            return
    with platform.database.write() as session:
        for row in session.scalars(ended).all():
            _settle(session, row, session.get_one(Run, row.import_run), platform.now())


def mirror_alias(session: Session, alias: str, row: RegisteredVersion, now: float) -> None:
    """`yard deploy name@alias` means what the registry means. A name that is none here is left out, and an alias of
    a version that did not come from the registry stays as it is."""
    name = alias.lower()
    version = session.get(ModelVersion, row.version_id) if row.version_id else None
    if version is None or not is_name(name):
        return
    there = session.get(Alias, (version.model_id, name))
    if there is not None and not _is_registered(session, row, there.version_id):
        return
    if there is None:
        there = Alias(tenant=row.tenant, model_id=version.model_id, name=name)
        session.add(there)
    there.version_id, there.updated_at = version.id, now
    session.flush()


def _is_registered(session: Session, row: RegisteredVersion, version_id: str) -> bool:
    same = RegisteredVersion.registered_id == row.registered_id, RegisteredVersion.version_id == version_id
    return session.scalar(select(RegisteredVersion.number).where(*same).limit(1)) is not None


def forget_alias(session: Session, model: RegisteredModel, alias: RegisteredAlias) -> None:
    """Here too, where it still means the same version."""
    row = session.get(RegisteredVersion, (model.id, alias.number))
    version = session.get(ModelVersion, row.version_id) if row and row.version_id else None
    there = session.get(Alias, (version.model_id, alias.alias.lower())) if version else None
    if version is not None and there is not None and there.version_id == version.id:
        session.delete(there)
        session.flush()


def delete_versions(platform: Platform, tenant: str, rows: Sequence[RegisteredVersion]) -> None:
    """Remove what they became here, unless others became the same. Raises Conflict where one serves."""
    going = {(row.registered_id, row.number) for row in rows}
    for version_id in {row.version_id for row in rows if row.version_id}:
        with platform.database.write() as session:
            same = select(RegisteredVersion).where(RegisteredVersion.version_id == version_id)
            if {(r.registered_id, r.number) for r in session.scalars(same)} - going:
                continue
            version = session.get(ModelVersion, version_id)
            if version is None:
                continue
            _drop_aliases(session, version, rows)
            name, number = session.get_one(Model, version.model_id).name, version.number
        try:
            models.delete_version(platform, tenant, name, str(number))
        except NotFound:
            continue  # somebody else was quicker


def _drop_aliases(session: Session, version: ModelVersion, rows: Sequence[RegisteredVersion]) -> None:
    """Those that the registry gave; one that was given here keeps its version."""
    for row in rows:
        query = select(RegisteredAlias).where(
            RegisteredAlias.registered_id == row.registered_id, RegisteredAlias.number == row.number
        )
        for alias in session.scalars(query):
            there = session.get(Alias, (version.model_id, alias.alias.lower()))
            if there is not None and there.version_id == version.id:
                session.delete(there)
    session.flush()


def _settle(session: Session, row: RegisteredVersion, run: Run, now: float) -> None:
    row.updated_ms = int(now * 1000)
    made = run.outputs.get("model") if run.state == "succeeded" else None
    if made is None:
        row.status = FAILED
        row.status_message = (run.error or {}).get("message") or f"the import was {run.state}"
        return
    model = find_model(session, row.tenant, made["name"])
    version = None if model is None else session.scalar(
        select(ModelVersion).where(ModelVersion.model_id == model.id, ModelVersion.number == made["version"])
    )  # fmt: skip
    row.status, row.version_id = READY, None if version is None else version.id
    if version is not None and isinstance(version.manifest.get("refusal"), str):
        row.status_message = version.manifest["refusal"]
    query = select(RegisteredAlias.alias).where(
        RegisteredAlias.registered_id == row.registered_id, RegisteredAlias.number == row.number
    )
    for alias in session.scalars(query).all():
        mirror_alias(session, alias, row, now)


def _plan(session: Session, model: RegisteredModel, source: Source, found: Importable,
          files: Mapping[str, FileEntry]) -> Plan:  # fmt: skip
    """An `import` run over the file, or over those of the folder, that an engine opens."""
    inside = {path: entry for path, entry in files.items() if path == found.path}
    if not inside:
        start = f"{found.path}/"
        inside = {path[len(start) :]: entry for path, entry in files.items() if path.startswith(start)}
    else:
        inside = {found.path.rpartition("/")[2]: inside[found.path]}
    inputs = [
        Input(name=path, kind="artifact", version_id=source.shelf.owner_id, reference=source.shelf.owner_id,
              digest=entry.sha256)
        for path, entry in inside.items()
    ]  # fmt: skip
    options = {"format": found.format, **_options(found)}
    there = find_model(session, model.tenant, model.model)
    if there is not None and "task" in options and not models.takes_task(session, there, options["task"]):
        del options["task"]  # a guess of ours does not keep a version from its model
    return plan_import(session, model.tenant, model.model, inputs, options)


def _options(found: Importable) -> dict[str, Any]:
    """What MLflow's signature says that the file does not: the columns of a table, in their order."""
    columns = found.signature.get("inputs", [])
    names = [c.get("name") for c in columns if isinstance(c, dict) and c.get("type") != "tensor"]
    named = names and len(names) == len(columns) and all(isinstance(n, str) for n in names)
    if found.format == "skops" and named:
        return {"columns": names, **_task(found.signature.get("outputs", []))}
    return {}


def _task(outputs: Any) -> dict[str, str]:
    """What an estimator does, by the kind of its answers: whole numbers and texts are classes."""
    answer = outputs[0] if isinstance(outputs, list) and len(outputs) == 1 else None
    if not isinstance(answer, dict):
        return {}
    tensor = answer.get("tensor-spec")
    kind = str(tensor.get("dtype") if isinstance(tensor, dict) else answer.get("type"))
    if kind.startswith(("int", "long", "str", "bool", "object")):
        return {"task": "tabular-classification"}
    return {"task": "tabular-regression"} if kind.startswith(("float", "double")) else {}


def _keep_refused(platform: Platform, session: Session, model: RegisteredModel, source: Source, reason: str,
                  files: Mapping[str, FileEntry]) -> ModelVersion:  # fmt: skip
    """A version that holds the files, opened by nobody, and says why it is not deployed."""
    there = find_model(session, model.tenant, model.model)
    nothing = Signature(inputs=(), outputs=())
    kept = {re.sub(r"^model\.json$", "logged-model.json", path): entry for path, entry in files.items()}
    manifest = Manifest(task=there.task if there else _TASK, signature=nothing, tensors=nothing, files=kept,
                        refusal=reason, lineage=Lineage(run=source.run_id))  # fmt: skip
    platform.blobs.put_bytes(encode_manifest(manifest))
    return models.add_version(session, model.tenant, model.model, manifest, platform.now(), source.run_id)


def _mlmodel(platform: Platform, files: Mapping[str, FileEntry]) -> bytes | None:
    entry = files.get(MLMODEL)
    if entry is None:
        return None
    with platform.blobs.open(entry.sha256) as f:
        return f.read(flavours.LARGEST_MLMODEL + 1)
