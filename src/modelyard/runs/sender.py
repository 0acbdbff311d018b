"""Events over HTTP to control, by one background thread, in batches, over control's restarts."""

import http.client
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from modelyard.types.run import RunEvent, RunEvents, RunReply, RunSpec

_log = logging.getLogger(__name__)

INTERVAL: Final = 0.25  # seconds between two batches, at least
HEARTBEAT: Final = 2.0  # seconds between two posts, at most
BOUND: Final = 20_000  # events kept while control is down
BATCH: Final = 500  # events in one post
_TIMEOUT: Final = 5.0
_REPLY_LIMIT: Final = 1 << 16
# Control takes nothing more from this attempt: 410 is what it says, the others mean that it never will again.
_LOST: Final = frozenset({401, 403, 404, 410})
_REFUSED: Final = frozenset({400, 413, 422})


class EventSender:
    """Posts RunEvents to `{control_url}/internal/runs/{id}/events`.

    `put` never waits. An event leaves the buffer when control has answered, so control may see a batch twice
    and never misses one, as long as at most BOUND wait; then progress goes first, and the oldest after it.
    `on_stop(reason)` is called when control cancels the run or its lease is lost.
    """

    def __init__(self, spec: RunSpec, on_stop: Callable[[str], None]) -> None:
        url = urlsplit(spec.control_url or "")
        self._address = (url.hostname or "127.0.0.1", url.port or 80)
        self._path = f"{url.path.rstrip('/')}/internal/runs/{spec.id}/events"
        self._headers = {"Authorization": f"Bearer {spec.token}", "Content-Type": "application/json"}
        self._attempt = spec.attempt
        self._on_stop = on_stop
        self._pending: deque[RunEvent] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._lost = False
        self._dropped = 0
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._loop, name="events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, event: RunEvent) -> None:
        """Queue an event. A progress that was not yet sent is replaced by the next one."""
        with self._wake:
            if self._lost:
                return
            if self._pending and _is_progress(event) and _is_progress(self._pending[-1]):
                self._pending[-1] = event
            else:
                self._pending.append(event)
                self._keep_bound()
            self._wake.notify()

    def close(self, timeout: float) -> bool:
        """Send what waits, for at most `timeout` seconds. Returns whether everything was taken."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)
        with self._wake:
            return not self._pending and not self._dropped

    def _keep_bound(self) -> None:
        if len(self._pending) <= BOUND:
            return
        if self._dropped == 0:
            _log.warning("control does not answer and %d events wait; older ones are dropped", BOUND)
        kept = [event for event in self._pending if not _is_progress(event)]
        if len(kept) > BOUND:
            kept = kept[-BOUND:]
        self._dropped += len(self._pending) - len(kept)
        self._pending = deque(kept)

    def _loop(self) -> None:
        pause = INTERVAL
        while True:
            sent = self._post()
            if self._lost or (self._closing and sent and not self._pending):
                break
            pause = INTERVAL if sent else min(pause * 2, HEARTBEAT)
            self._rest(pause, hurry=sent)
        if self._connection is not None:
            self._connection.close()

    def _rest(self, pause: float, *, hurry: bool) -> None:
        """Wait for `pause` seconds, then for something to send, until the next heartbeat is due.

        With `hurry` closing ends every wait; without, `pause` is kept (control did not answer)."""
        start = time.monotonic()
        with self._wake:
            self._wake.wait_for(lambda: self._closing and hurry, timeout=pause)
            left = max(0.0, start + HEARTBEAT - time.monotonic())
            self._wake.wait_for(lambda: bool(self._pending) or self._closing, timeout=left)

    def _post(self) -> bool:
        with self._wake:
            batch = tuple(event for event, _ in zip(self._pending, range(BATCH), strict=False))
        try:
            status, body = self._exchange(RunEvents(attempt=self._attempt, events=batch))
        except (OSError, http.client.HTTPException) as error:
            _log.debug("control does not answer: %s", error)
            self._disconnect()
            return False
        return self._taken(batch, status, body)

    def _exchange(self, events: RunEvents) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=_TIMEOUT)
        self._connection.request("POST", self._path, msgspec.json.encode(events), self._headers)
        response = self._connection.getresponse()
        return response.status, response.read(_REPLY_LIMIT)

    def _taken(self, batch: tuple[RunEvent, ...], status: int, body: bytes) -> bool:
        if status in _LOST:
            with self._wake:
                self._lost = True
                self._pending.clear()
            self._on_stop("the run's lease is lost: another attempt may have begun")
            return False
        if status == 200:
            self._forget(batch)
            if _says_cancel(body):
                self._on_stop("the run was cancelled")
            return True
        if status in _REFUSED:
            # Sending the same again would be refused again, and hold up what comes after it.
            _log.warning("control refused %d events with status %d", len(batch), status)
            self._forget(batch)
            return True
        _log.debug("control answered %d", status)
        self._disconnect()
        return False

    def _forget(self, batch: tuple[RunEvent, ...]) -> None:
        sent = {id(event) for event in batch}
        with self._wake:
            self._pending = deque(event for event in self._pending if id(event) not in sent)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_progress(event: RunEvent) -> bool:
    return not event.metrics and event.done is not None


def _says_cancel(body: bytes) -> bool:
    try:
        return msgspec.json.decode(body, type=RunReply).cancel
    except msgspec.MsgspecError:
        _log.warning("control's answer cannot be read")
        return False
