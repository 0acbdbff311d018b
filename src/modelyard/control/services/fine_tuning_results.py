"""The curves of a fine-tuning, as the CSV file that its job leaves."""

import csv
import io
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import api_files
from modelyard.control.services.api_files import RESULTS, NewFile
from modelyard.store.openai import FineTuningJob
from modelyard.store.work import RunMetric

COLUMNS: Final = {"train_loss": "train/loss", "valid_loss": "validation/loss"}
"""A column in OpenAI's words -> the run's metric."""


def points_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    """{"step", "time", and those of COLUMNS that are known} in the order of steps, for each step with one."""
    query = select(RunMetric).where(RunMetric.run_id == run_id, RunMetric.name.in_(COLUMNS.values()))
    words = {metric: word for word, metric in COLUMNS.items()}
    points: dict[int, dict[str, Any]] = {}
    for row in session.scalars(query.order_by(RunMetric.step)):
        point = points.setdefault(row.step, {"step": row.step, "time": row.time})
        point[words[row.name]] = row.value
    return list(points.values())


def keep_results(platform: Platform, job_id: str) -> Callable[[Session], str]:
    """Write them into the blobs; what is answered makes a file of them in a transaction, and gives its id."""
    with platform.database.read() as session:
        job = session.get_one(FineTuningJob, job_id)
        points = points_of(session, job.train_run) if job.train_run is not None else []
    text = io.StringIO()
    writer = csv.DictWriter(text, ["step", *COLUMNS], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    entry = platform.blobs.put_bytes(text.getvalue().encode())

    def publish(session: Session) -> str:
        new = NewFile(filename=f"{job_id}_results.csv", purpose=RESULTS)
        return api_files.add(session, job.tenant, new, entry, None, platform.now()).id

    return publish
