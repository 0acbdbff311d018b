"""The compute thread: in turn a part of one prompt and one token of every sequence, for as long as there are any.

Sequences join and leave between steps; a step's pieces go to the event loop in one call.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

import torch

from modelyard.engines.streams import Item, Stream, deliver
from modelyard.engines.transformers.batch import Batch
from modelyard.engines.transformers.sequence import Running
from modelyard.errors import ModelyardError, Unavailable

_log = logging.getLogger(__name__)


class Loop:
    """Runs from the first request on, in a thread of its own. No more than `slots` sequences are in the batch."""

    def __init__(self, batch: Batch, slots: int, threads: int) -> None:
        self._batch, self._slots, self._threads = batch, slots, threads
        self._come = threading.Condition()
        self._new: deque[Running] = deque()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._reading: list[Running] = []  # their prompts
        self._running: list[Running] = []  # in the batch, in its order
        self._out: list[tuple[Stream, Item]] = []

    def add(self, sequence: Running) -> None:
        """From any thread. Raises Unavailable where the loop has ended."""
        with self._come:
            if self._closing:
                raise Unavailable("the engine is stopping")
            self._new.append(sequence)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="transformers", daemon=True)
                self._thread.start()
            self._come.notify()

    def close(self) -> None:
        """End all sequences; returns when the thread has ended its step."""
        with self._come:
            self._closing = True
            self._come.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while self._waited():
                self._turn()
        self._fail([*self._new, *self._reading, *self._running], Unavailable("the engine is stopping"))
        self._deliver()

    def _waited(self) -> bool:
        """Whether there is something to do; False at the end."""
        with self._come:
            while not (self._new or self._reading or self._running or self._closing):
                self._come.wait()
            free = self._slots - len(self._reading) - len(self._running)
            self._reading += [self._new.popleft() for _ in range(min(free, len(self._new)))]
            return not self._closing

    def _turn(self) -> None:
        self._drop()
        if self._reading:
            self._guarded(self._read, [self._reading[0]])
        if self._running:
            self._guarded(self._step, self._running)
        self._deliver()

    def _drop(self) -> None:
        """What nobody waits for any more."""
        self._reading = [s for s in self._reading if not s.stream.ended]
        self._remove([s for s in self._running if s.stream.ended])

    def _read(self) -> None:
        """A part of the first prompt; at its end the first token, and the sequence joins."""
        sequence = self._reading[0]
        if sequence.row is None:
            sequence.row = self._batch.new()
        row, ids = sequence.row, sequence.asked.ids
        logits = self._batch.read(row, ids[row.length :][: self._batch.chunk])
        if row.length < len(ids):
            return
        self._reading.pop(0)
        self._take(sequence, logits)
        if sequence.finish is None:
            self._batch.join(row)
            self._running.append(sequence)

    def _step(self) -> None:
        logits = self._batch.step([s.last for s in self._running])
        for sequence, own in zip(self._running, logits, strict=True):
            self._take(sequence, own)
        self._remove([s for s in self._running if s.finish is not None])

    def _take(self, sequence: Running, logits: torch.Tensor) -> None:
        try:
            piece = sequence.take(logits)
        except ModelyardError as error:  # of this one alone
            self._fail([sequence], error)
            return
        if piece is not None:
            self._out.append((sequence.stream, piece))

    def _remove(self, gone: list[Running]) -> None:
        self._batch.leave([s.row for s in gone if s.row is not None])
        self._running = [s for s in self._running if s not in gone]

    def _guarded(self, work: Callable[[], None], of: list[Running]) -> None:
        """What breaks ends the sequences that it was done for; the others go on."""
        try:
            work()
        except Exception as error:  # torch's have no common base
            _log.exception("a step of the transformers engine broke")
            broken = Unavailable("the engine broke on this request")
            broken.__cause__ = error
            gone = list(of)
            self._fail(gone, broken)
            self._reading = [s for s in self._reading if s not in gone]
            self._remove([s for s in self._running if s in gone])

    def _fail(self, sequences: Iterable[Running], error: ModelyardError) -> None:
        for sequence in sequences:
            sequence.finish = "stop"
            self._out.append((sequence.stream, error))

    def _deliver(self) -> None:
        out, self._out = self._out, []
        deliver(out)
