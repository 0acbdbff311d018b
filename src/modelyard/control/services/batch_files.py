"""What a batch's run has answered, as files of its owner: taken over at whatever end the run comes to."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import api_files
from modelyard.control.services.api_files import BATCH_OUTPUT, NewFile
from modelyard.runs.batch_answers import ERRORS, FILES, OUTPUT, Tally, read_answers
from modelyard.store.openai import Batch
from modelyard.store.work import Run
from modelyard.types.package import FileEntry
from modelyard.types.run import BATCH


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Blobs by the names of the run's files, with their lines, and what they hold in sum."""

    entries: dict[str, tuple[FileEntry, int]]
    tally: Tally


def gather(platform: Platform, run: Run) -> Kept | None:
    """Copy what is answered into the blobs; None for a run of another kind. A copy, because an attempt that was
    given up may still have the files open."""
    if run.kind != BATCH:
        return None
    folder, tally = platform.home.runs / run.id / "checkpoints", Tally()
    entries: dict[str, tuple[FileEntry, int]] = {}
    for name in FILES:
        with platform.blobs.writer() as writer:
            lines = 0
            for line, answer in read_answers(folder / name):
                writer.write(line)
                tally.add(answer)
                lines += 1
            if lines:
                entries[name] = writer.commit(), lines
    return Kept(entries=entries, tally=tally)


def publish(session: Session, run: Run, kept: Kept | None, now: float) -> None:
    """Make files of it, in the transaction that ends the run."""
    batch = session.scalar(select(Batch).where(Batch.run_id == run.id)) if kept is not None else None
    if kept is None or batch is None:
        return
    outputs = {
        f"{word}_file_id": _file(session, batch, word, *kept.entries[name], now)
        for name, word in ((OUTPUT, "output"), (ERRORS, "error"))
        if name in kept.entries
    }
    run.outputs = {"batch": batch.id, **outputs}
    run.summary = {**run.summary, **kept.tally.figures()}


def _file(session: Session, batch: Batch, word: str, entry: FileEntry, lines: int, now: float) -> str:
    new = NewFile(filename=f"{batch.id}_{word}.jsonl", purpose=BATCH_OUTPUT, expires_in=batch.output_seconds)
    return api_files.add(session, batch.tenant, new, entry, lines, now).id
