"""Telling control which deployments have something to do, and which ones a request has found asleep."""

import asyncio
import json
import logging
import time
from typing import Final
from urllib.parse import urlsplit

import msgspec

from modelyard.errors import NotFound
from modelyard.gateway.deployments import Deployment, Deployments
from modelyard.gateway.posting import post
from modelyard.types.activity import Activity, ActivityReport, Wake

_LOOK: Final = 0.5  # seconds between two looks
_EVERY: Final = 2.0  # seconds between two reports, at most
_SECONDS: Final = 5.0  # that control may take for an answer

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Tenant and name."""


class Attendant:
    """`wake` is told of each request that finds its replicas asleep; `run` tells control, once a sleep."""

    def __init__(self, control_url: str, token: str, deployments: Deployments) -> None:
        self._url = urlsplit(control_url)
        self._token = token
        self._deployments = deployments
        self._asked = asyncio.Event()
        self._asleep: dict[Key, Deployment] = {}  # to be woken, and control has not heard of it
        self._woken: set[Key] = set()  # control has heard; not awake yet
        self._counted: dict[Key, int] = {}
        self._busy: frozenset[Key] = frozenset()
        self._reported = -_EVERY

    def wake(self, deployment: Deployment) -> None:
        """Have its replicas started. Quick, and the same however often."""
        key = deployment.tenant, deployment.name
        if key not in self._woken and key not in self._asleep:
            self._asleep[key] = deployment
            self._asked.set()

    async def run(self) -> None:
        """Until it is cancelled. Where control is away it is told later."""
        while True:
            self._asked.clear()
            try:
                await self.step()
            except (OSError, ValueError) as error:
                _log.info("%s", json.dumps({"event": "activity_not_told", "error": type(error).__name__}))
                await asyncio.sleep(_LOOK)
                continue
            try:
                async with asyncio.timeout(_LOOK):
                    await self._asked.wait()
            except TimeoutError:
                pass

    async def step(self) -> None:
        """Tell control what it has not heard. Raises OSError, ValueError."""
        there = {(d.tenant, d.name): d for d in self._deployments.all()}
        self._woken = {key for key in self._woken if key in there and there[key].asleep}
        for key in list(self._asleep):
            await self._wake(key, self._asleep[key])
        await self._report(there)

    async def _wake(self, key: Key, deployment: Deployment) -> None:
        body = msgspec.json.encode(Wake(tenant=deployment.tenant, name=deployment.name))
        status, _ = await post(self._url, "/internal/wake", self._token, body, _SECONDS)
        if status == 404:
            deployment.refuse(NotFound(f"no model {deployment.name!r}"))
        elif status != 200:
            raise ValueError(f"control answered {status}")
        del self._asleep[key]
        self._woken.add(key)

    async def _report(self, there: dict[Key, Deployment]) -> None:
        counted = {key: d.counted for key, d in there.items()}
        busy = frozenset(key for key, d in there.items() if d.running or d.waiting)
        used = {key for key, count in counted.items() if count != self._counted.get(key, 0)}
        if busy == self._busy and time.monotonic() - self._reported < _EVERY:
            return
        told = [_activity(there[key]) for key in sorted(busy | used)]
        body = msgspec.json.encode(ActivityReport(deployments=tuple(told)))
        status, _ = await post(self._url, "/internal/activity", self._token, body, _SECONDS)
        if status != 200:
            raise ValueError(f"control answered {status}")
        self._counted, self._busy, self._reported = counted, busy, time.monotonic()


def _activity(deployment: Deployment) -> Activity:
    return Activity(
        tenant=deployment.tenant,
        name=deployment.name,
        running=deployment.running,
        waiting=deployment.waiting,
    )
