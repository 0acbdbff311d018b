"""Fine-tuning jobs: a run that makes a data set version of a caller's files, then one that trains a base on it.

The second run is queued by `advance`, which a loop calls: what a job is comes from its row and its runs alone, so
a restart of control goes on with it.
"""

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import runs, training_lines
from modelyard.control.services.fine_tuning_results import keep_results
from modelyard.control.services.idempotency import Once, made_before, remember
from modelyard.control.services.models import check_task
from modelyard.control.services.names import read_reference
from modelyard.control.services.plans import Input, Plan, plan, plan_files
from modelyard.control.services.references import find_model, get_model, get_model_version
from modelyard.errors import Busy, Conflict, ModelyardError
from modelyard.store.openai import ApiFile, FineTuningJob
from modelyard.store.registry import Deployment, DeploymentVersion, Model, ModelVersion
from modelyard.store.work import Run
from modelyard.training.finetune_base import check_base
from modelyard.training.finetune_recipe import FinetuneTraining, parse_finetune
from modelyard.types.ids import new_id
from modelyard.types.package import Manifest
from modelyard.types.run import END_STATES

_log = logging.getLogger(__name__)
KIND: Final = "finetune"
_TRAIN, _VALIDATION = "train.jsonl", "validation.jsonl"  # names that say the rows' split
_LONGEST_NAME, _LONGEST_SUFFIX = 63, 40
_MOST_AT_ONCE: Final = 8  # sequences of a forward pass; a larger batch is summed up


@dataclass(frozen=True, kw_only=True)
class Method:
    """Hyperparameters; None is for the platform to choose."""

    epochs: int | None = None
    batch_size: int | None = None
    rate_multiplier: float | None = None


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """`model` names a model, a version of it or a deployment; `asked` is what a view shows of the method."""

    model: str
    training: ApiFile
    validation: ApiFile | None
    method: Method
    asked: dict[str, Any]
    suffix: str | None
    seed: int
    notes: dict[str, str]


def create(
    platform: Platform, session: Session, tenant: str, new: NewJob, once: Once | None
) -> FineTuningJob:
    """Queue the job's first run, in the caller's transaction; `platform.changes` is told after it.

    Raises NotFound for a model that is not there, InvalidInput and NotAllowedFormat for one that cannot be trained
    on, Conflict, Busy.
    """
    if (made := made_before(session, tenant, once)) is not None:
        return session.get_one(FineTuningJob, made)
    model, version = find_base(session, tenant, new.model)
    base = f"{model.name}:{version.number}"
    manifest = msgspec.convert(version.manifest, Manifest)
    check_base(manifest, base)
    name = name_of(model.name, new.suffix)
    recipe = _recipe(new, name, base, manifest)
    check_task(find_model(session, tenant, name), recipe["task"])
    dataset = new.training.id
    run = runs.queue(platform, session, tenant, "prepare", _preparation(platform, new, dataset))
    row = FineTuningJob(
        id=new_id("ftjob").replace("_", "-"),
        tenant=tenant,
        model=new.model,
        base=base,
        name=name,
        dataset=dataset,
        training_file=new.training.id,
        validation_file=None if new.validation is None else new.validation.id,
        method={"asked": new.asked, "recipe": recipe},
        seed=new.seed,
        notes=new.notes,
        prepare_run=run.id,
        train_run=None,
        result_file=None,
        cancelled_at=None,
        error=None,
        created_at=run.created_at,
        ended_at=None,
    )
    session.add(row)
    session.flush()
    remember(session, tenant, once, row.id, row.created_at)
    return row


def find(session: Session, tenant: str, job_id: str) -> FineTuningJob | None:
    row = session.get(FineTuningJob, job_id)
    return row if row is not None and row.tenant == tenant else None


def find_base(session: Session, tenant: str, text: str) -> tuple[Model, ModelVersion]:
    """By a model's reference, or by the name of a deployment, whose version it is then. Raises NotFound,
    InvalidInput."""
    name, selector = read_reference(text)
    if selector.number is None and selector.alias is None and selector.digest is None:
        deployed = _deployed(session, tenant, name)
        if deployed is not None and find_model(session, tenant, name) is None:
            return deployed
    model = get_model(session, tenant, name)
    return model, get_model_version(session, model, selector)


def name_of(base: str, suffix: str | None) -> str:
    """ft-BASE or ft-BASE-SUFFIX, within the rule for names. Each further job of the same name adds a version."""
    clean = re.sub(r"[^a-z0-9._-]+", "-", (suffix or "").lower())[:_LONGEST_SUFFIX].strip("-._")
    end = f"-{clean}" if clean else ""
    return f"ft-{base}"[: _LONGEST_NAME - len(end)] + end


def state_of(session: Session, job: FineTuningJob) -> str:
    """In OpenAI's words."""
    if job.cancelled_at is not None:
        return "cancelled"
    if job.error is not None:
        return "failed"
    if job.train_run is not None:
        return session.get_one(Run, job.train_run).state
    prepared = session.get_one(Run, job.prepare_run).state
    return {"succeeded": "queued", "failed": "failed", "cancelled": "cancelled"}.get(
        prepared, "validating_files"
    )


def cancel(platform: Platform, tenant: str, job_id: str) -> None:
    """From now on it is cancelled, whatever its run still comes to. Raises Conflict for one that has ended."""
    with platform.database.write() as session:
        job = session.get_one(FineTuningJob, job_id)
        state = state_of(session, job)
        if state in END_STATES:
            raise Conflict("the job has ended already", came=state)
        job.cancelled_at = job.ended_at = platform.now()
        run = job.train_run or job.prepare_run
    with suppress(Conflict):  # it has just ended
        runs.cancel(platform, tenant, run)


def advance(platform: Platform) -> None:
    """Take each job that has not ended one step on, where its run has ended."""
    with platform.database.read() as session:
        query = select(FineTuningJob).where(FineTuningJob.ended_at.is_(None)).order_by(FineTuningJob.id)
        due = [job for job in session.scalars(query) if _run_of(session, job).state in END_STATES]
    for job in due:
        try:
            _advance(platform, job.id, trained=job.train_run is not None)
        except Busy:
            _log.info("the job %s waits: too many runs do", job.id)


def _advance(platform: Platform, job_id: str, *, trained: bool) -> None:
    results = keep_results(platform, job_id) if trained else None
    with platform.database.write() as session:
        job = session.get_one(FineTuningJob, job_id)
        if job.ended_at is not None:
            return
        run = _run_of(session, job)
        if job.train_run is None and run.state == "succeeded":
            _train(platform, session, job, run)
        else:
            job.ended_at = run.ended_at
            if results is not None and run.state == "succeeded":
                job.result_file = results(session)
            if run.state == "cancelled":  # at the run's own address
                job.cancelled_at = run.ended_at
    platform.changes.tell()


def _train(platform: Platform, session: Session, job: FineTuningJob, prepared: Run) -> None:
    made = prepared.outputs["dataset"]
    recipe = {**job.method["recipe"], "data": f"{made['name']}:{made['version']}"}
    try:
        planned = plan(session, job.tenant, KIND, recipe)
    except ModelyardError as error:
        job.error, job.ended_at = {**error.to_dict(), "param": None}, platform.now()
        return
    job.train_run = runs.queue(platform, session, job.tenant, KIND, planned).id


def _run_of(session: Session, job: FineTuningJob) -> Run:
    """The one that works for it now."""
    return session.get_one(Run, job.train_run or job.prepare_run)


def _preparation(platform: Platform, new: NewJob, dataset: str) -> Plan:
    """One data set for each training file: jobs that share it share the version."""
    with platform.blobs.open(new.training.sha256) as file:
        form = training_lines.first_form(file)
    files = {_TRAIN: new.training} | ({} if new.validation is None else {_VALIDATION: new.validation})
    options = {
        "format": "jsonl",
        "columns": dict.fromkeys(training_lines.FORMS[form], "text"),
        "fractions": {"train": 1.0},
    }
    sources = [
        Input(name=name, kind="artifact", version_id=file.id, reference=file.id, digest=file.sha256)
        for name, file in files.items()
    ]
    return plan_files(dataset, sources, options)


def _recipe(new: NewJob, name: str, base: str, manifest: Manifest) -> dict[str, Any]:
    """What the second run will follow, checked now; its data is named later."""
    usual = FinetuneTraining()
    training: dict[str, Any] = {"seed": new.seed}
    if new.method.epochs is not None:
        training["epochs"] = new.method.epochs
    if (batch := new.method.batch_size) is not None:
        training["batch_size"] = max(n for n in range(1, _MOST_AT_ONCE + 1) if batch % n == 0)
        training["accumulation"] = batch // training["batch_size"]
    if new.method.rate_multiplier is not None:
        training["learning_rate"] = usual.rate * new.method.rate_multiplier
    context = manifest.preprocessing.get("context")
    if isinstance(context, int):
        training["sequence_length"] = min(usual.sequence_length, context)
    recipe = {
        "task": "text-generation",
        "name": name,
        "base": base,
        "data": new.training.id,
        "training": training,
    }
    parse_finetune(recipe)
    return recipe


def _deployed(session: Session, tenant: str, name: str) -> tuple[Model, ModelVersion] | None:
    """What most calls of a deployment go to."""
    query = (
        select(Model, ModelVersion)
        .join(Deployment, Deployment.model_id == Model.id)
        .join(DeploymentVersion, DeploymentVersion.deployment_id == Deployment.id)
        .where(DeploymentVersion.version_id == ModelVersion.id)
        .where(Deployment.tenant == tenant, Deployment.name == name)
        .order_by(
            DeploymentVersion.live_weight.desc(), DeploymentVersion.weight.desc(), ModelVersion.number.desc()
        )
    )
    row = session.execute(query.limit(1)).first()
    return None if row is None else (row[0], row[1])
