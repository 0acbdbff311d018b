"""The worker process of an OpenVINO generator, seen from the replica: who asked for what, and what comes back.

A thread reads what the worker says and makes text of it while the worker computes the next step; another one
writes, for a pipe that is full would stop the event loop. A worker that has died is started again when it is next
asked.
"""

import logging
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from modelyard.engines.openvino_answer import Answer
from modelyard.engines.openvino_messages import (
    Asked,
    Cancel,
    Failed,
    Open,
    Ready,
    Refused,
    Said,
    Start,
    Step,
    Unpacker,
    pack,
    read_some,
    write_whole,
)
from modelyard.engines.streams import Item, Stream, deliver
from modelyard.errors import InvalidInput, MissingExtra, ModelyardError, Unavailable

_PATIENCE: Final = 5.0  # seconds that a worker has to end by itself
_log = logging.getLogger(__name__)


class Link:
    """`begin` and `leave` may be called on an event loop: neither waits. The worker is started at once."""

    def __init__(self, opened: Open) -> None:
        self._opened = opened
        self._answers: dict[int, Answer] = {}
        self._lock = threading.Lock()  # of answers and worker
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="openvino-write")
        self._closed = False
        self._worker = _Worker(opened, self._take, self._lost)

    def wait(self) -> None:
        """Until the model is open. Raises InvalidInput, MissingExtra, Unavailable."""
        self._worker.ready.result()

    def begin(self, start: Start, answer: Answer) -> None:
        """`answer` is given what comes, an error among it."""
        with self._lock:
            self._answers[start.id] = answer
        self._submit(self._start, start)

    def leave(self, number: int) -> None:
        """Nobody waits for this answer any more, whether it has ended or not."""
        with self._lock:
            going_on = self._answers.pop(number, None) is not None
        if going_on:
            self._submit(self._write, Cancel(id=number))

    def close(self) -> None:
        """End the worker; what waits is told."""
        self._closed = True
        self._writer.shutdown(wait=False, cancel_futures=True)
        self._worker.end()

    def _submit(self, call: Any, message: Asked) -> None:
        try:
            self._writer.submit(call, message)
        except RuntimeError:  # it is closed
            self._fail_all(Unavailable("the engine has ended"))

    def _start(self, start: Start) -> None:
        try:
            self._running().write(start)
        except (OSError, ModelyardError) as error:
            wrong = error if isinstance(error, ModelyardError) else Unavailable("the engine has ended")
            self._give(start.id, wrong)

    def _write(self, message: Asked) -> None:
        try:
            self._worker.write(message)
        except OSError:  # it has died, and the work with it
            return

    def _running(self) -> "_Worker":
        """The worker, or a new one. Raises what opening does."""
        if self._worker.dead and not self._closed:
            _log.warning("the engine's process has died; it is started again")
            self._worker = _Worker(self._opened, self._take, self._lost)
        self._worker.ready.result()
        return self._worker

    def _take(self, said: Said) -> None:
        if isinstance(said, Step):
            self._step(said)
        elif isinstance(said, Failed):
            _log.error("OpenVINO failed: %s", said.reason)
            self._fail_all(Unavailable("the engine failed"))
        elif isinstance(said, Refused) and said.id is not None:
            _log.info("OpenVINO refused a request: %s", said.reason)
            self._give(said.id, InvalidInput("the engine refused the request's parameters"))

    def _step(self, step: Step) -> None:
        items: list[tuple[Stream, Item]] = []
        ended: list[int] = []
        for piece in step.pieces:
            with self._lock:
                answer = self._answers.get(piece.id)
            if answer is None:
                continue
            item, stopped = answer.take(piece)
            if item is not None:
                items.append((answer.stream, item))
            if stopped:
                self._submit(self._write, Cancel(id=piece.id))
            if stopped or piece.finish:
                ended.append(piece.id)
        with self._lock:
            for number in ended:
                self._answers.pop(number, None)
        deliver(items)

    def _give(self, number: int, error: ModelyardError) -> None:
        with self._lock:
            answer = self._answers.pop(number, None)
        if answer is not None:
            answer.stream.put(error)

    def _lost(self) -> None:
        """The worker has ended."""
        if not self._closed:
            _log.error("the engine's process ended by itself")
        self._fail_all(Unavailable("the engine has ended"))

    def _fail_all(self, error: ModelyardError) -> None:
        with self._lock:
            waiting, self._answers = list(self._answers.values()), {}
        deliver([(answer.stream, error) for answer in waiting])


class _Worker:
    """One process. `ready` has None when the model is open, or the error."""

    def __init__(self, opened: Open, take: Any, lost: Any) -> None:
        self.ready: Future[None] = Future()
        self._take, self._lost = take, lost
        argv = [sys.executable, "-m", "modelyard.engines.openvino_worker"]
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as error:
            raise Unavailable("the engine's process cannot be started") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="openvino-read", daemon=True)
        self.dead = False
        self.write(opened)
        self._reader.start()

    def write(self, message: Asked) -> None:
        """Raises OSError where it has ended."""
        with self._writing:
            if self.dead:
                raise BrokenPipeError
            write_whole(self._in.fileno(), pack(message))

    def end(self) -> None:
        """Let it end, or end it."""
        self.dead = True
        if self._writing.acquire(timeout=_PATIENCE):
            self._in.close()
            self._writing.release()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()

    def _read(self) -> None:
        unpacker = Unpacker(Said)
        try:
            while part := read_some(self._out.fileno()):
                for said in unpacker.feed(part):
                    self._heed(said)
        except Exception:  # nobody else would end the process and tell who waits
            _log.exception("what the engine's process said cannot be used")
            self._process.kill()
        finally:
            self._finish()

    def _heed(self, said: Said) -> None:
        if isinstance(said, Ready):
            self.ready.set_result(None)
        elif isinstance(said, Refused) and said.id is None:
            self.ready.set_exception(_not_open(said.reason))
        else:
            self._take(said)

    def _finish(self) -> None:
        self.dead = True
        self._process.wait()
        self._out.close()
        with self._writing:  # who writes is told that it has ended
            self._in.close()
        if not self.ready.done():
            self.ready.set_exception(Unavailable("the engine's process ended while it opened the model"))
        self._lost()


def _not_open(reason: str) -> ModelyardError:
    if "No module named" in reason:
        return MissingExtra("openvino_genai", "openvino-llm")
    _log.warning("OpenVINO does not open the model: %s", reason)
    return InvalidInput("OpenVINO does not open this model")
