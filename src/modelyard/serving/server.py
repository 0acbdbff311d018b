"""The replica's loop: one thread, a selector, greedy batches over all connections."""

import contextlib
import os
import selectors
import signal
import socket
import time
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from modelyard.serving import frames
from modelyard.serving.batcher import Batcher
from modelyard.serving.frames import FrameError, Kind
from modelyard.serving.peer import Peer, Waiting
from modelyard.types.replica import Hello

_CHUNK: Final = 256 << 10
_IDLE_AFTER_DRAIN: Final = 1.0
_DRAIN: Final = 8.0  # below the launcher's grace of 10 s


class Server:
    """Listens from `run` on, so that who can connect can be answered: at a path, or on a socket that is bound
    already."""

    def __init__(self, at: Path | socket.socket, hello: Hello, batcher: Batcher, max_batch: int) -> None:
        self._path = at if isinstance(at, Path) else None
        self._listener = at if isinstance(at, socket.socket) else None
        self._hello = frames.pack(Kind.HELLO, 0, msgspec.json.encode(hello))
        self._batcher = batcher
        self._max_batch = max_batch
        self._selector = selectors.DefaultSelector()
        self._peers: list[Peer] = []
        self._chunk = bytearray(_CHUNK)
        self._drain_since: float | None = None
        self._inode = 0
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then answer what is under way and return."""
        self._listen()
        wake = self._catch_signals()
        while not self._finished():
            busy = any(peer.waiting and not peer.choked for peer in self._peers)
            for key, _ in self._selector.select(0 if busy else self._pause()):
                self._handle(key, wake)
            self._serve()
            if self._stopping:
                self._drain()

    def _listen(self) -> None:
        if self._path is not None:
            self._listener = self._bind(self._path)
        assert self._listener is not None
        self._listener.setblocking(False)
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _bind(self, path: Path) -> socket.socket:
        path.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            bound.bind(os.fspath(path))
        finally:
            os.umask(mask)
        self._inode = path.stat().st_ino
        return bound

    def _catch_signals(self) -> socket.socket:
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        woken.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._selector.register(wake, selectors.EVENT_READ)
        self._woken = woken  # open as long as the server is
        return wake

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True  # the loop, woken by the signal's byte, does the rest

    def _handle(self, key: selectors.SelectorKey, wake: socket.socket) -> None:
        if key.fileobj is wake:
            wake.recv(64)
        elif key.data is None:
            self._accept()
        else:
            self._exchange(key.data)

    def _accept(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError, ConnectionError):  # the caller has gone again
            connection, _ = self._listener.accept()
            peer = Peer(connection)
            self._peers.append(peer)
            self._selector.register(connection, selectors.EVENT_READ, peer)
            peer.send(self._hello)
            self._flush(peer)

    def _exchange(self, peer: Peer) -> None:
        """Read what is there, or go on writing what was not taken before."""
        if peer.closed:
            return
        if peer.readable:
            try:
                size = peer.socket.recv_into(self._chunk)
            except (BlockingIOError, InterruptedError):
                size = -1
            except OSError:
                size = 0
            if size == 0:
                self._close(peer)
                return
            if size > 0:
                self._receive(peer, bytes(memoryview(self._chunk)[:size]))
        if peer.unsent:
            self._flush(peer)

    def _receive(self, peer: Peer, data: bytes) -> None:
        try:
            for frame in peer.receive(data, time.monotonic_ns()):
                if frame.kind == Kind.STATISTICS:
                    counted = msgspec.json.encode(self._batcher.statistics())
                    peer.send(frames.pack(Kind.STATISTICS, frame.id, counted))
                    self._flush(peer)
                elif frame.kind == Kind.CANCEL:
                    peer.cancel(frame.id)
                elif frame.kind != Kind.DRAIN:
                    raise FrameError(f"a frame of kind {frame.kind}")
        except FrameError:
            self._close(peer)
            return
        if not peer.readable and not peer.closed:
            self._watch(peer)

    def _serve(self) -> None:
        batch = self._take()
        if not batch:
            return
        self._batcher.serve(batch)
        for peer in {waiting.peer for waiting in batch}:
            if not peer.closed:
                self._flush(peer)

    def _take(self) -> list[Waiting]:
        """All that waits up to the cap, every peer in turn."""
        batch: list[Waiting] = []
        ready = [peer for peer in self._peers if peer.waiting and not peer.choked]
        for place, peer in enumerate(ready):
            share = -(-(self._max_batch - len(batch)) // (len(ready) - place))
            full = not peer.readable
            while peer.waiting and share > 0:
                batch.append(peer.take())
                share -= 1
            if full:
                self._watch(peer)
        return batch

    def _flush(self, peer: Peer) -> None:
        before = peer.unsent
        try:
            peer.flush()
        except OSError:
            self._close(peer)
            return
        if before or peer.unsent:
            self._watch(peer)

    def _watch(self, peer: Peer) -> None:
        """Wait for what the peer can do something with."""
        read = selectors.EVENT_READ if peer.readable else 0
        write = selectors.EVENT_WRITE if peer.unsent else 0
        if read | write:
            try:
                self._selector.modify(peer.socket, read | write, peer)
            except KeyError:
                self._selector.register(peer.socket, read | write, peer)
        else:
            with contextlib.suppress(KeyError):
                self._selector.unregister(peer.socket)

    def _close(self, peer: Peer) -> None:
        if peer.closed:
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(peer.socket)
        peer.close()
        self._peers.remove(peer)

    def _drain(self) -> None:
        if self._drain_since is not None or self._listener is None:
            return
        self._drain_since = time.monotonic()
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listener = None
        with contextlib.suppress(FileNotFoundError):  # a successor may have taken the name already
            if self._path is not None and self._path.stat().st_ino == self._inode:
                self._path.unlink()
        for peer in list(self._peers):
            peer.send(frames.pack(Kind.DRAIN, 0))
            self._flush(peer)

    def _pause(self) -> float | None:
        return None if self._drain_since is None else 0.1

    def _finished(self) -> bool:
        if self._drain_since is None:
            return False
        waited = time.monotonic() - self._drain_since
        idle = all(peer.idle for peer in self._peers)
        return not self._peers or (idle and waited > _IDLE_AFTER_DRAIN) or waited > _DRAIN
