"""The compute thread: in turn a part of one prompt and one token of every sequence, for as long as there are any.

Sequences join and leave between steps; a step's pieces go to the event loop in one call.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np

from modelyard.engines.stepping.batch import Batch, Branching
from modelyard.engines.stepping.sequence import Asked
from modelyard.engines.streams import Item, Stream, deliver
from modelyard.errors import ModelyardError, Unavailable
from modelyard.types.generation import Delta, Finish

_log = logging.getLogger(__name__)


class Sequence(Protocol):
    """One request under way: `sequence.Running`, or of several rows `beams.Beaming`."""

    stream: Stream
    asked: Asked
    rows: list[Any]
    last: tuple[int, ...]
    parents: tuple[int, ...]
    finish: Finish | None

    def take(self, logits: Any) -> Delta | None: ...


class Loop:
    """Runs from the first request on, in a thread of its own. No more than `slots` sequences are in the batch.

    `around` is entered by that thread: what the engine's library needs set there."""

    def __init__(
        self, batch: Batch, slots: int, around: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> None:
        self._batch, self._slots, self._around = batch, slots, around
        self._come = threading.Condition()
        self._new: deque[Sequence] = deque()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._reading: list[Sequence] = []  # their prompts
        self._running: list[Sequence] = []  # in the batch, in its order
        self._out: list[tuple[Stream, Item]] = []

    def add(self, sequence: Sequence) -> None:
        """From any thread. Raises Unavailable where the loop has ended."""
        with self._come:
            if self._closing:
                raise Unavailable("the engine is stopping")
            self._new.append(sequence)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="steps", daemon=True)
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
        with self._around():
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
        if not sequence.rows:
            sequence.rows = [self._batch.new(sequence.asked.source)]
        row, ids = sequence.rows[0], sequence.asked.ids
        logits = np.asarray(self._batch.read(row, ids[row.length :][: self._batch.chunk]))
        if row.length < len(ids):
            return
        self._reading.pop(0)
        self._take(sequence, logits[None])
        if sequence.finish is None:
            if isinstance(self._batch, Branching) and len(sequence.last) > 1:
                sequence.rows += self._batch.copies(row, len(sequence.last) - 1)
            for one in sequence.rows:
                self._batch.join(one)
            self._running.append(sequence)

    def _step(self) -> None:
        logits = np.asarray(self._batch.step([token for s in self._running for token in s.last]))
        for sequence, own in self._parted(logits):
            self._take(sequence, own)
        self._remove([s for s in self._running if s.finish is not None])
        if isinstance(self._batch, Branching):
            for sequence in self._running:
                if sequence.parents and sequence.parents != tuple(range(len(sequence.rows))):
                    self._batch.arrange(sequence.rows, sequence.parents)

    def _parted(self, logits: Any) -> Iterator[tuple[Sequence, Any]]:
        at = 0
        for sequence in self._running:
            yield sequence, logits[at : at + len(sequence.rows)]
            at += len(sequence.rows)

    def _take(self, sequence: Sequence, logits: Any) -> None:
        try:
            piece = sequence.take(logits)
        except ModelyardError as error:  # of this one alone
            self._fail([sequence], error)
            return
        if piece is not None:
            self._out.append((sequence.stream, piece))

    def _remove(self, gone: list[Sequence]) -> None:
        self._batch.leave([row for s in gone for row in s.rows])
        self._running = [s for s in self._running if s not in gone]

    def _guarded(self, work: Callable[[], None], of: list[Sequence]) -> None:
        """What breaks ends the sequences that it was done for; the others go on."""
        try:
            work()
        except Exception as error:  # of libraries without a common base
            _log.exception("a step of the engine broke")
            broken = Unavailable("the engine broke on this request")
            broken.__cause__ = error
            gone = list(of)
            self._fail(gone, broken)
            self._reading = [s for s in self._reading if s not in gone]
            self._remove([s for s in self._running if s in gone])

    def _fail(self, sequences: Iterable[Sequence], error: ModelyardError) -> None:
        for sequence in sequences:
            sequence.finish = "stop"
            self._out.append((sequence.stream, error))

    def _deliver(self) -> None:
        out, self._out = self._out, []
        deliver(out)
