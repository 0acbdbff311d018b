"""Fine-tuning jobs on OpenAI's wire."""

import secrets
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.openai import FINE_TUNING, files
from modelyard.control.openai.errors import BadParameter, NoSuch
from modelyard.control.openai.pages import PageAsked, fetch, place_of, size_of
from modelyard.control.openai.wire import Asked, Caller, Operation, check_notes, is_id, listed, seconds
from modelyard.control.platform import Platform
from modelyard.control.services import api_files, fine_tuning, training_lines
from modelyard.control.services.fine_tuning import Method, NewJob
from modelyard.errors import InvalidInput, NotAllowedFormat, NotFound
from modelyard.store.openai import ApiFile, FineTuningJob
from modelyard.store.work import Run

JOBS: Final = FINE_TUNING + "/jobs"
ID: Final = "ftjob-"
_LISTED, _MOST_LISTED = 20, 100
_LONGEST_SUFFIX: Final = 64
_MOST_EPOCHS, _MOST_BATCH, _MOST_MULTIPLIER = 1000, 1024, 1000.0
_LARGEST_SEED: Final = 2**31 - 1
Auto = Literal["auto"]


class Hyperparameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"


class Supervised(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    hyperparameters: Hyperparameters | None = None


class AskedMethod(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: str
    supervised: Supervised | None = None
    dpo: Any = None
    reinforcement: Any = None


class Create(Asked, frozen=True, kw_only=True):
    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters | None = None
    method: AskedMethod | None = None
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] | None = None
    integrations: list[Any] | None = None


class One(Asked, frozen=True, kw_only=True):
    job: str


def get(session: Session, caller: Caller, job_id: str) -> FineTuningJob:
    """Raises NoSuch."""
    row = fine_tuning.find(session, caller.tenant, job_id) if is_id(ID, job_id) else None
    if row is None:
        raise NoSuch("FineTuningJob", job_id, "fine_tuning_job_id")
    return row


def _create(platform: Platform, caller: Caller, asked: Create) -> dict[str, Any]:
    hyperparameters = _hyperparameters(asked)
    if asked.integrations:
        raise BadParameter("integrations", "there are no integrations here", allowed="none")
    seed, notes = _seed(asked.seed), check_notes(asked.metadata)
    if asked.suffix is not None and not _is_suffix(asked.suffix):
        allowed = f"1 to {_LONGEST_SUFFIX} characters, letters or digits among them"
        raise BadParameter("suffix", "suffix", came=asked.suffix, allowed=allowed)
    with platform.database.write() as session:
        training = _file(platform, session, caller, asked.training_file, "training_file")
        validation = None
        if asked.validation_file is not None:
            validation = _file(platform, session, caller, asked.validation_file, "validation_file")
            _check_alike(platform, training, validation)
        new = NewJob(
            model=asked.model,
            training=training,
            validation=validation,
            method=_method(hyperparameters),
            asked={
                "n_epochs": hyperparameters.n_epochs,
                "batch_size": hyperparameters.batch_size,
                "learning_rate_multiplier": hyperparameters.learning_rate_multiplier,
            },
            suffix=asked.suffix,
            seed=seed,
            notes=notes,
        )
        row = _begin(platform, session, caller, new)
        said = view(session, row)
    platform.changes.tell()
    return said


def _begin(platform: Platform, session: Session, caller: Caller, new: NewJob) -> FineTuningJob:
    """What is wrong with the model is said of that parameter."""
    try:
        fine_tuning.find_base(session, caller.tenant, new.model)
    except (NotFound, InvalidInput):
        raise NoSuch("Model", new.model, "model") from None
    try:
        return fine_tuning.create(platform, session, caller.tenant, new, caller.once)
    except (InvalidInput, NotAllowedFormat) as error:
        raise BadParameter("model", error.message, reason=error.code) from None


def _file(platform: Platform, session: Session, caller: Caller, file_id: str, param: str) -> ApiFile:
    row = files.get(session, caller.tenant, file_id, platform.now(), param)
    if row.purpose != api_files.FINE_TUNE:
        raise BadParameter(param, "the file is kept for another purpose", came=row.purpose,
                           allowed=api_files.FINE_TUNE)  # fmt: skip
    return row


def _check_alike(platform: Platform, training: ApiFile, validation: ApiFile) -> None:
    if training.id == validation.id or training.sha256 == validation.sha256:
        raise BadParameter(
            "validation_file", "what was trained on validates nothing", came="the training file"
        )
    forms = []
    for row in (training, validation):
        with platform.blobs.open(row.sha256) as file:
            forms.append(training_lines.first_form(file))
    if forms[0] != forms[1]:
        raise BadParameter(
            "validation_file", "its examples are of another form", came=forms[1], allowed=forms[0]
        )


def _hyperparameters(asked: Create) -> Hyperparameters:
    """Where both places name some, those of `method`."""
    if asked.method is not None and asked.method.type != "supervised":
        raise BadParameter("method.type", "method.type", came=asked.method.type, allowed="supervised")
    if asked.method is not None and (asked.method.dpo or asked.method.reinforcement):
        raise BadParameter("method", "a supervised method has no other's parameters", allowed="supervised")
    supervised = asked.method.supervised if asked.method is not None else None
    if supervised is not None and supervised.hyperparameters is not None:
        found, place = supervised.hyperparameters, "method.supervised.hyperparameters"
    else:
        found, place = asked.hyperparameters or Hyperparameters(), "hyperparameters"
    _check_range(f"{place}.n_epochs", found.n_epochs, 1, _MOST_EPOCHS)
    _check_range(f"{place}.batch_size", found.batch_size, 1, _MOST_BATCH)
    _check_range(f"{place}.learning_rate_multiplier", found.learning_rate_multiplier, 1e-6, _MOST_MULTIPLIER)
    return found


def _check_range(param: str, value: float | Auto, least: float, most: float) -> None:
    if value == "auto":
        return
    if not least <= value <= most:
        raise BadParameter(param, param, came=value, allowed=f"{least:g} to {most:g}, or auto")


def _method(given: Hyperparameters) -> Method:
    return Method(
        epochs=None if given.n_epochs == "auto" else given.n_epochs,
        batch_size=None if given.batch_size == "auto" else given.batch_size,
        rate_multiplier=None if given.learning_rate_multiplier == "auto" else given.learning_rate_multiplier,
    )


def _seed(asked: int | None) -> int:
    if asked is None:
        return secrets.randbelow(_LARGEST_SEED)
    if not 0 <= asked <= _LARGEST_SEED:
        raise BadParameter("seed", "seed", came=asked, allowed=f"0 to {_LARGEST_SEED}")
    return asked


def _is_suffix(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_SUFFIX and any(c.isascii() and c.isalnum() for c in text)


def _show(platform: Platform, caller: Caller, asked: One) -> dict[str, Any]:
    with platform.database.read() as session:
        return view(session, get(session, caller, asked.job))


def _cancel(platform: Platform, caller: Caller, asked: One) -> dict[str, Any]:
    with platform.database.read() as session:
        row = get(session, caller, asked.job)
    fine_tuning.cancel(platform, caller.tenant, row.id)
    return _show(platform, caller, asked)


def _list(platform: Platform, caller: Caller, asked: PageAsked) -> dict[str, Any]:
    limit, after = size_of(asked, _LISTED, _MOST_LISTED), place_of(asked, ID)
    query = select(FineTuningJob).where(FineTuningJob.tenant == caller.tenant)
    with platform.database.read() as session:
        rows, more = fetch(session, query, FineTuningJob.id, limit, after)
        return listed([view(session, row) for row in rows], more)


def view(session: Session, row: FineTuningJob) -> dict[str, Any]:
    status, asked = fine_tuning.state_of(session, row), row.method["asked"]
    run = session.get_one(Run, row.train_run or row.prepare_run)
    ended = run.ended_at if status in ("succeeded", "failed") else row.cancelled_at
    return {
        "id": row.id,
        "object": "fine_tuning.job",
        "created_at": seconds(row.created_at),
        "error": _error(row, run, status),
        "fine_tuned_model": row.name if status == "succeeded" else None,
        "finished_at": seconds(row.ended_at or ended)
        if status in ("succeeded", "failed", "cancelled")
        else None,
        "hyperparameters": asked,
        "method": {"type": "supervised", "supervised": {"hyperparameters": asked}},
        "model": row.model,
        "organization_id": row.tenant,
        "result_files": [row.result_file] if row.result_file is not None else [],
        "seed": row.seed,
        "status": status,
        "trained_tokens": (run.summary or {}).get("trained_tokens") if status == "succeeded" else None,
        "training_file": row.training_file,
        "validation_file": row.validation_file,
        "estimated_finish": None,
        "integrations": [],
        "metadata": row.notes or None,
    }


def _error(row: FineTuningJob, run: Run, status: str) -> dict[str, Any] | None:
    if status != "failed":
        return None
    found = row.error or run.error or {}
    param = "training_file" if run.id == row.prepare_run and row.error is None else None
    return {"code": found.get("code", "internal"), "message": found.get("message", ""), "param": param}


OPERATIONS: Final = (
    Operation(method="POST", path=JOBS, asked=Create, answer=_create),
    Operation(method="GET", path=JOBS, asked=PageAsked, answer=_list),
    Operation(method="GET", path=JOBS + "/{job}", asked=One, answer=_show),
    Operation(method="POST", path=JOBS + "/{job}/cancel", asked=One, answer=_cancel),
)
