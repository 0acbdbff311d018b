"""Telling control what keys have used, once a second, and keeping on disk what it has not heard."""

import asyncio
import contextlib
import functools
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from modelyard.files import write_atomic
from modelyard.gateway.posting import post
from modelyard.gateway.usage import Kept, Ledger
from modelyard.types.usage import UsageHeard, UsageReport

_EVERY: Final = 1.0  # seconds
_LONGEST_PAUSE: Final = 5.0
_SECONDS: Final = 5.0  # that control may take for an answer
_LAST_SECONDS: Final = 1.0  # for the last report of all

_log = logging.getLogger(__name__)
_heard = msgspec.json.Decoder(UsageHeard)


def load(path: Path) -> Kept | None:
    """What was kept, or None where there is nothing that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("%s", json.dumps({"event": "usage_unreadable", "error": type(error).__name__}))
        return None


class Reporter:
    """POSTs to control's /internal/usage while `run` runs; `finish` says the rest."""

    def __init__(self, control_url: str, token: str, ledger: Ledger, kept: Path) -> None:
        self._url = urlsplit(control_url)
        self._token = token
        self._ledger = ledger
        self._path = kept
        self._written = b""
        self._pause = 0.0
        self._writing = ThreadPoolExecutor(1, "usage")  # one thread: what is newer is written later

    async def run(self) -> None:
        after = 0.0  # when control is asked again
        while True:
            now = time.monotonic()
            if now >= after:
                there = await self.step(_SECONDS)
                self._pause = 0.0 if there else min(2 * self._pause or _EVERY, _LONGEST_PAUSE)
                after = now + self._pause
            else:
                await self._keep()
            await asyncio.sleep(_EVERY)

    async def finish(self) -> None:
        """Within a second. What control does not hear is told by the process that comes after this one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self.step(_LAST_SECONDS)
        await self._keep()
        self._writing.shutdown()

    async def step(self, seconds: float) -> bool:
        """Tell control what it has not heard; whether it is there, as far as that was asked."""
        try:
            while (report := self._ledger.report()) is not None:
                self._ledger.reported(report, await self._tell(report, seconds))
            if await self._keep():
                for promise in self._ledger.promises():
                    await self._tell(promise, seconds)
                    self._ledger.promised(promise)
        except (OSError, ValueError) as error:
            _log.info("%s", json.dumps({"event": "usage_not_told", "error": type(error).__name__}))
            await self._keep()
            return False
        return True

    async def _keep(self) -> bool:
        """Whether what the next process needs to know is on disk."""
        data = msgspec.json.encode(self._ledger.kept())
        if data == self._written:
            return True
        self._written = b""  # a write that is cancelled may be done all the same
        try:
            write = functools.partial(write_atomic, self._path, data, mode=0o600)
            await asyncio.get_running_loop().run_in_executor(self._writing, write)
        except OSError as error:
            _log.warning("%s", json.dumps({"event": "usage_not_kept", "error": type(error).__name__}))
            return False
        self._written = data
        return True

    async def _tell(self, report: UsageReport, seconds: float) -> UsageHeard:
        """One POST. Raises OSError (of which TimeoutError is one) and ValueError."""
        body = msgspec.json.encode(report)
        status, answer = await post(self._url, "/internal/usage", self._token, body, seconds)
        if status != 200:
            raise ValueError(f"control answered {status}")
        return _heard.decode(answer)
