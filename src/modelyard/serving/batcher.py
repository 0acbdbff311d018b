"""Greedy batching: what waits together runs together. Answers go back to where their requests came from."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from modelyard import dialects
from modelyard.dialects import DIALECTS, Call, Dialect, Response, Served
from modelyard.errors import DeadlineExceeded, InvalidInput, ModelyardError, TooLarge, Unavailable
from modelyard.serving import frames
from modelyard.serving.peer import Peer, Waiting
from modelyard.types.replica import Statistics

Arrays = Mapping[str, npt.NDArray[Any]]
MAX_ANSWER: Final = 64 << 20

_log = logging.getLogger(__name__)


class Model(Protocol):
    """What the batcher needs of `engines.Model`."""

    def predict(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]: ...


class _Job:
    """A parsed request on its way through the model. `deadline` is monotonic, in nanoseconds."""

    __slots__ = ("call", "deadline", "dialect", "number", "peer")

    def __init__(self, peer: Peer, number: int, dialect: Dialect, deadline: int, call: Call) -> None:
        self.peer, self.number, self.dialect = peer, number, dialect
        self.deadline, self.call = deadline, call


class Batcher:
    """Parses, groups, runs, splits and renders. At most `max_batch` rows are in the model at a time."""

    def __init__(self, model: Model, served: Served, max_batch: int) -> None:
        self._model = model
        self._served = served
        self._max_batch = max_batch
        self._names = served.plan.names
        self._outputs = list(served.plan.outputs)
        self._requests = self._failures = self._rows = self._batches = 0
        self._queue_ns = self._compute_ns = 0
        self._started_ns = time.time_ns()

    def statistics(self) -> Statistics:
        return Statistics(
            started_ns=self._started_ns,
            requests=self._requests,
            failures=self._failures,
            rows=self._rows,
            batches=self._batches,
            queue_ns=self._queue_ns,
            compute_ns=self._compute_ns,
        )

    def serve(self, waiting: Sequence[Waiting]) -> None:
        """Answer all of these, each with its own success or failure."""
        groups: dict[tuple[tuple[int, ...], ...], list[_Job]] = {}
        for request in waiting:
            job = self._parse(request)
            if job is not None:
                key = tuple([job.call.arrays[name].shape[1:] for name in self._names])
                groups.setdefault(key, []).append(job)
        for jobs in groups.values():
            for batch in self._cut(jobs):
                self._run(batch)

    def _parse(self, waiting: Waiting) -> _Job | None:
        now = time.monotonic_ns()
        self._queue_ns += now - waiting.arrived
        number, dialect = waiting.frame.id, DIALECTS[0]
        try:
            request = frames.read_request(waiting.frame.payload)
            dialect = _dialect(request.dialect)
            deadline = waiting.arrived + request.left * 1_000_000
            _check_deadline(now, deadline)
            asked = dialects.Request(frames.read_headers(request.headers), request.body, request.operation)
            return _Job(waiting.peer, number, dialect, deadline, dialect.parse(asked, self._served))
        except Exception as error:
            self._fail(waiting.peer, number, dialect, error)
            return None

    def _cut(self, jobs: list[_Job]) -> list[list[_Job]]:
        """Batches of at most `max_batch` rows; a job that alone has more is one by itself."""
        batches: list[list[_Job]] = [[]]
        rows = 0
        for job in jobs:
            if batches[-1] and rows + job.call.rows > self._max_batch:
                batches.append([])
                rows = 0
            batches[-1].append(job)
            rows += job.call.rows
        return batches

    def _run(self, jobs: list[_Job]) -> None:
        jobs = self._in_time(jobs)
        if not jobs:
            return
        try:
            outputs = self._predict_together(jobs)
        except Exception as error:
            if len(jobs) == 1:
                self._fail_job(jobs[0], error)
                return
            half = len(jobs) // 2  # one of them is to blame: the others shall not pay for it
            self._run(jobs[:half])
            self._run(jobs[half:])
            return
        at = 0
        for job in jobs:
            rows = job.call.rows
            self._answer(job, {name: array[at : at + rows] for name, array in outputs.items()})
            at += rows

    def _in_time(self, jobs: list[_Job]) -> list[_Job]:
        """Those whose deadline has not passed while other batches ran; the others are answered."""
        now, kept = time.monotonic_ns(), []
        for job in jobs:
            try:
                _check_deadline(now, job.deadline)
            except DeadlineExceeded as error:
                self._fail_job(job, error)
            else:
                kept.append(job)
        return kept

    def _predict_together(self, jobs: list[_Job]) -> Arrays:
        if len(jobs) == 1:
            return self._predict_sliced(jobs[0])
        together = {name: np.concatenate([job.call.arrays[name] for job in jobs]) for name in self._names}
        return self._predict(together, sum(job.call.rows for job in jobs))

    def _predict_sliced(self, job: _Job) -> Arrays:
        """More rows than a batch are run slice by slice, so that one request cannot take all the memory."""
        arrays, rows, size = job.call.arrays, job.call.rows, self._max_batch
        if rows <= size:
            return self._predict(arrays, rows)
        parts = []
        for start in range(0, rows, size):
            _check_deadline(time.monotonic_ns(), job.deadline)
            part = {name: array[start : start + size] for name, array in arrays.items()}
            parts.append(self._predict(part, min(size, rows - start)))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def _predict(self, arrays: Arrays, rows: int) -> Arrays:
        started = time.monotonic_ns()
        outputs = self._model.predict(arrays)
        self._compute_ns += time.monotonic_ns() - started
        self._batches += 1
        self._rows += rows
        for name in self._outputs:
            if len(outputs[name]) != rows:
                raise ModelyardError("the model answered another number of rows than it was asked")
        return outputs

    def _answer(self, job: _Job, outputs: Arrays) -> None:
        try:
            response = job.dialect.render(job.call, outputs, self._served)
            if len(response.body) > MAX_ANSWER:
                raise TooLarge(
                    "the answer is too large", came=f"{len(response.body)} bytes", allowed=MAX_ANSWER
                )
        except Exception as error:
            self._fail_job(job, error)
            return
        self._requests += 1
        _send(job.peer, job.number, response)

    def _fail_job(self, job: _Job, error: Exception) -> None:
        self._fail(job.peer, job.number, job.dialect, error)

    def _fail(self, peer: Peer, number: int, dialect: Dialect, error: Exception) -> None:
        self._requests += 1
        self._failures += 1
        _send(peer, number, dialects.failure(dialect, _for_users(error)))


def _dialect(number: int) -> Dialect:
    if number >= len(DIALECTS):
        raise InvalidInput("this replica does not know the dialect", came=number)
    return DIALECTS[number]


def _check_deadline(now: int, deadline: int) -> None:
    if now > deadline:
        raise DeadlineExceeded("the deadline passed before the model could run")


def _send(peer: Peer, number: int, response: Response) -> None:
    headers = b""
    if response.headers or response.content_type != "application/json":
        headers = frames.pack_headers({"content-type": response.content_type, **response.headers})
    peer.send(frames.answer_head(number, response.status, 0, headers, len(response.body)), response.body)


def _for_users(error: Exception) -> ModelyardError:
    if isinstance(error, ModelyardError):
        return error
    if isinstance(error, MemoryError):
        return Unavailable("the model has not enough memory for this request")
    _log.error("%s", json.dumps({"event": "failure", "error": repr(error)[:500]}), exc_info=error)
    return ModelyardError("internal error")
