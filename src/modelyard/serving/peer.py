"""One connection to a replica: frames in, frames out, nothing that blocks."""

import socket
from collections import deque
from typing import Final, NamedTuple

from modelyard.serving import frames
from modelyard.serving.frames import Frame, Parser

MAX_WAITING: Final = 2 * frames.MAX_FRAME  # bytes of requests that one peer may have waiting
MAX_UNSENT: Final = 64 << 20  # unread bytes of answers past which a peer gets no more


class Waiting(NamedTuple):
    """A request that arrived. Times are of the monotonic clock in nanoseconds."""

    peer: "Peer"
    frame: Frame
    arrived: int


class Peer:
    """Reads stop while too much waits, work stops while too much is unsent: it can hold up only itself."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.waiting: deque[Waiting] = deque()
        self.closed = False
        self._waiting_bytes = 0
        self._parser = Parser()
        self._answers: list[bytes] = []
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0

    @property
    def readable(self) -> bool:
        """Whether more requests may be read."""
        return self._waiting_bytes < MAX_WAITING

    @property
    def choked(self) -> bool:
        """Whether it reads its answers too slowly to be given more."""
        return self._unsent_bytes > MAX_UNSENT

    @property
    def unsent(self) -> bool:
        return self._unsent_bytes > 0

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.unsent and not self._parser.pending

    def receive(self, data: bytes, now: int) -> list[Frame]:
        """Queue what are requests and return the other frames. Raises FrameError."""
        others = []
        for frame in self._parser.feed(data):
            if frame.kind == frames.Kind.REQUEST:
                self.waiting.append(Waiting(self, frame, now))
                self._waiting_bytes += len(frame.payload)
            else:
                others.append(frame)
        return others

    def take(self) -> Waiting:
        waiting = self.waiting.popleft()
        self._waiting_bytes -= len(waiting.frame.payload)
        return waiting

    def cancel(self, number: int) -> None:
        """Forget a request that nobody waits for any longer, unless it has begun."""
        for waiting in self.waiting:
            if waiting.frame.id == number:
                self.waiting.remove(waiting)
                self._waiting_bytes -= len(waiting.frame.payload)
                return

    def send(self, *parts: bytes) -> None:
        """Keep for the next `flush`."""
        if not self.closed:
            self._answers += parts
            self._unsent_bytes += sum(map(len, parts))

    def flush(self) -> None:
        """Write what the socket takes now. Raises OSError when the connection is gone."""
        if self._answers:
            self._unsent.append(memoryview(b"".join(self._answers)))
            self._answers.clear()
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent[0])
            except (BlockingIOError, InterruptedError):
                return
            self._unsent_bytes -= sent
            rest = self._unsent.popleft()[sent:]
            if rest:
                self._unsent.appendleft(rest)

    def close(self) -> None:
        self.closed = True
        self.waiting.clear()
        self._answers.clear()
        self._unsent.clear()
        self._unsent_bytes = 0
        self.socket.close()
