"""A run's folder: what its process reads, its log, and what it leaves."""

import os
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import datasets, models
from modelyard.control.services.attempt_keys import attempt_key
from modelyard.control.services.plans import SOURCES
from modelyard.control.services.runs import inputs_of
from modelyard.control.services.sources import FILES, entry_of_source
from modelyard.files import remove_tree, write_atomic
from modelyard.runs.context import OUTCOME_NAME, SPEC_NAME
from modelyard.store.work import Run, RunInput
from modelyard.types.run import BATCH, END_STATES, RunOutcome, RunSpec

LOG_NAME: Final = "log.txt"
LOG_PART: Final = 1 << 20  # bytes of a log in one answer
_LARGEST_OUTCOME: Final = 16 << 20
_CLEARED: Final = ("inputs", "checkpoints", "attempt-*/outputs", "attempt-*/work", SPEC_NAME)


def folder_of(platform: Platform, run_id: str) -> Path:
    return platform.home.runs / run_id


def attempt_folder(platform: Platform, run_id: str, attempt: int) -> Path:
    return folder_of(platform, run_id) / f"attempt-{attempt}"


def write(platform: Platform, session: Session, run: Run, attempt: int, token: str) -> None:
    """Make all that the attempt's process reads. Doing it again does no harm. Raises NotFound for an input
    that is gone and OSError for a disk that is full."""
    folder = folder_of(platform, run.id)
    attempt_folder(platform, run.id, attempt).mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints").mkdir(exist_ok=True)
    inputs = inputs_of(session, run)
    _write_inputs(platform, session, folder / "inputs", inputs)
    spec = RunSpec(
        id=run.id,
        attempt=attempt,
        kind=run.kind,
        tenant=run.tenant,
        params=run.params,
        inputs={i.name: i.digest for i in inputs if i.kind not in FILES},
        environments=str(platform.home.environments),
        allow_unsandboxed=platform.config.allow_unsandboxed,
        control_url=platform.config.control_url,
        token=token,
        gateway_url=platform.config.gateway_url if run.kind == BATCH else "",
        gateway_key=attempt_key(platform, run.id, attempt) if run.kind == BATCH else "",
    )
    write_atomic(folder / SPEC_NAME, msgspec.json.encode(spec), mode=0o600)


def read_outcome(platform: Platform, run_id: str, attempt: int) -> RunOutcome | None:
    """What the attempt left as its last act; None where it did not come to that, or left what is no
    outcome."""
    path = attempt_folder(platform, run_id, attempt) / OUTCOME_NAME
    try:
        with path.open("rb") as f:
            return msgspec.json.decode(f.read(_LARGEST_OUTCOME), type=RunOutcome)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def read_log(platform: Platform, run_id: str, attempts: int, offset: int) -> bytes:
    """At most 1 MiB from `offset` of the logs of all attempts, one after the other."""
    for attempt in range(1, attempts + 1):
        path = attempt_folder(platform, run_id, attempt) / LOG_NAME
        try:
            with path.open("rb") as f:
                size = os.fstat(f.fileno()).st_size
                if offset < size:
                    f.seek(offset)
                    return f.read(min(LOG_PART, size - offset))
                offset -= size
        except FileNotFoundError:
            continue
    return b""


def clear(platform: Platform, run_id: str) -> None:
    """Remove what an ended run needs no more: everything but its logs."""
    folder = folder_of(platform, run_id)
    for path in [path for pattern in _CLEARED for path in folder.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def clear_ended(platform: Platform) -> None:
    """Remove what a crash, or a process that was slow to end, left in the folders of ended runs."""
    runs = platform.home.runs
    left = {path.relative_to(runs).parts[0] for pattern in _CLEARED for path in runs.glob(f"*/{pattern}")}
    with platform.database.read() as session:
        going_on = set(session.scalars(select(Run.id).where(Run.state.not_in(END_STATES))))
    for run_id in left - going_on:
        clear(platform, run_id)


def _write_inputs(platform: Platform, session: Session, folder: Path, inputs: list[RunInput]) -> None:
    folder.mkdir(exist_ok=True)
    materialisers = {"dataset": datasets.materialise, "model": models.materialise}
    for i in inputs:
        if i.kind not in FILES and not (folder / i.name).exists():
            materialisers[i.kind](platform, session, i.version_id, folder / i.name)
    sources = [i for i in inputs if i.kind in FILES]
    if sources and not (folder / SOURCES).exists():
        files = {i.name: entry_of_source(session, i.tenant, i) for i in sources}
        platform.blobs.link_into(folder / SOURCES, files)
