"""Batches on OpenAI's wire."""

from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.openai import BATCHES, files
from modelyard.control.openai.errors import BadParameter, NoSuch
from modelyard.control.openai.pages import PageAsked, fetch, place_of, size_of
from modelyard.control.openai.wire import Asked, Caller, Operation, check_notes, is_id, listed, seconds
from modelyard.control.platform import Platform
from modelyard.control.services import api_files, batches
from modelyard.control.services.batches import NewBatch, Phase
from modelyard.runs.batch_lines import ENDPOINTS
from modelyard.store.openai import Batch
from modelyard.store.work import Run

ID: Final = "batch_"
_WINDOW: Final = "24h"
_LISTED, _MOST_LISTED = 20, 100


class OutputExpires(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    anchor: Literal["created_at"]
    seconds: int


class Create(Asked, frozen=True, kw_only=True):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: OutputExpires | None = None


class One(Asked, frozen=True, kw_only=True):
    batch: str


def _create(platform: Platform, caller: Caller, asked: Create) -> dict[str, Any]:
    if asked.endpoint not in ENDPOINTS:
        raise BadParameter("endpoint", "endpoint", came=asked.endpoint, allowed=ENDPOINTS)
    if asked.completion_window != _WINDOW:
        raise BadParameter(
            "completion_window", "completion_window", came=asked.completion_window, allowed=_WINDOW
        )
    notes, kept = check_notes(asked.metadata), _output_seconds(asked.output_expires_after)
    with platform.database.write() as session:
        file = files.get(session, caller.tenant, asked.input_file_id, platform.now(), "input_file_id")
        if file.purpose != api_files.BATCH:
            raise BadParameter("input_file_id", "the file is kept for another purpose", came=file.purpose,
                               allowed=api_files.BATCH)  # fmt: skip
        new = NewBatch(key=caller.key, file=file, endpoint=asked.endpoint, notes=notes, output_seconds=kept)
        row = batches.create(platform, session, caller.tenant, new, caller.once)
        said = _view(session, row)
    platform.changes.tell()
    return said


def _output_seconds(asked: OutputExpires | None) -> float | None:
    if asked is None:
        return None
    if not files.SHORTEST <= asked.seconds <= files.LONGEST:
        raise BadParameter("output_expires_after.seconds", "output_expires_after.seconds", came=asked.seconds,
                           allowed=f"{files.SHORTEST} to {files.LONGEST}")  # fmt: skip
    return float(asked.seconds)


def _show(platform: Platform, caller: Caller, asked: One) -> dict[str, Any]:
    with platform.database.read() as session:
        return _view(session, _get(session, caller, asked.batch))


def _cancel(platform: Platform, caller: Caller, asked: One) -> dict[str, Any]:
    with platform.database.read() as session:
        row = _get(session, caller, asked.batch)
    batches.cancel(platform, caller.tenant, row)
    return _show(platform, caller, asked)


def _list(platform: Platform, caller: Caller, asked: PageAsked) -> dict[str, Any]:
    limit, after = size_of(asked, _LISTED, _MOST_LISTED), place_of(asked, ID)
    query = select(Batch).where(Batch.tenant == caller.tenant)
    with platform.database.read() as session:
        rows, more = fetch(session, query, Batch.id, limit, after)
        return listed([_view(session, row) for row in rows], more)


def _get(session: Session, caller: Caller, batch_id: str) -> Batch:
    row = batches.find(session, caller.tenant, batch_id) if is_id(ID, batch_id) else None
    if row is None:
        raise NoSuch("Batch", batch_id, "batch_id")
    return row


def _view(session: Session, row: Batch) -> dict[str, Any]:
    run = session.get_one(Run, row.run_id)
    phase = batches.phase(session, run)
    status = phase.state
    if run.ended_at is None and run.cancel_requested:
        status = "cancelling"
    ended: dict[str, int | None] = {
        f"{word}_at": None for word in ("completed", "failed", "expired", "cancelled")
    }
    if run.ended_at is not None:
        ended[f"{status}_at"] = seconds(run.ended_at)
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": row.endpoint,
        "model": run.summary.get("model"),
        "errors": _errors(run),
        "input_file_id": row.input_file,
        "completion_window": _WINDOW,
        "status": status,
        "output_file_id": run.outputs.get("output_file_id"),
        "error_file_id": run.outputs.get("error_file_id"),
        "created_at": seconds(row.created_at),
        "in_progress_at": seconds(phase.answering_at),
        "expires_at": seconds(row.expires_at),
        "finalizing_at": seconds(phase.answered_at),
        **ended,
        "cancelling_at": seconds(row.cancelling_at),
        "request_counts": {
            "total": row.total,
            "completed": phase.figures["completed"],
            "failed": phase.figures["failed"],
        },
        "usage": _usage(phase),
        "metadata": row.notes or None,
    }


def _errors(run: Run) -> dict[str, Any] | None:
    """Of the lines, or why the run came to no good end."""
    if run.state != "failed" or run.error is None:
        return None
    whole = {"code": run.error.get("code"), "line": None, "message": run.error.get("message"), "param": None}
    return {"object": "list", "data": run.error.get("errors") or [whole]}


def _usage(phase: Phase) -> dict[str, Any]:
    figures = phase.figures
    return {
        "input_tokens": figures["input_tokens"],
        "input_tokens_details": {"cached_tokens": figures["cached_tokens"]},
        "output_tokens": figures["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": figures["reasoning_tokens"]},
        "total_tokens": figures["input_tokens"] + figures["output_tokens"],
    }


OPERATIONS: Final = (
    Operation(method="POST", path=BATCHES, asked=Create, answer=_create),
    Operation(method="GET", path=BATCHES, asked=PageAsked, answer=_list),
    Operation(method="GET", path=BATCHES + "/{batch}", asked=One, answer=_show),
    Operation(method="POST", path=BATCHES + "/{batch}/cancel", asked=One, answer=_cancel),
)
