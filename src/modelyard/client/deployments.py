"""Deployments: the names that callers use."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.client.models import split_reference
from modelyard.client.record import Record
from modelyard.client.transport import Request, at
from modelyard.errors import Conflict, DeadlineExceeded, NotFound, from_dict

if TYPE_CHECKING:
    from modelyard.client.client import Client

_LOOK = 0.1  # seconds between two looks at a deployment that is waited for


class Deployment(Record):
    """A name, the versions behind it and how far they are."""

    shown: ClassVar[tuple[str, ...]] = ("name", "model", "state", "ready", "wanted")

    @property
    def name(self) -> str:
        return str(self.raw["name"])

    @property
    def model(self) -> str:
        return str(self.raw.get("model") or "")

    @property
    def state(self) -> str:
        return str(self.raw.get("state") or "")

    @property
    def replicas(self) -> int:
        """Replicas of each version that should be."""
        return int(self.raw.get("replicas") or 0)

    @property
    def ready(self) -> int:
        """Replicas that answer."""
        return int(self.raw.get("ready") or 0)

    @property
    def wanted(self) -> int:
        """Replicas of all versions that should be."""
        return self.replicas * len(self.raw.get("versions") or [])

    @property
    def serving(self) -> dict[str, Any]:
        """What was set of how it serves."""
        return dict(self.raw.get("serving") or {})

    @property
    def error(self) -> dict[str, Any] | None:
        return self.raw.get("error")

    @property
    def why(self) -> str:
        """What it waits for, where a replica may not start yet."""
        return str(self.raw.get("why") or "")

    def wait(self, timeout: float = 60.0) -> "Deployment":
        return self._client.deployments.wait(self.name, timeout=timeout)

    def predict(self, value: Any, **parameters: Any) -> Any:
        """See `Client.predict`."""
        return self._client.predict(self.name, value, **parameters)


Watch = Callable[[Deployment], None]
"""Called with the deployment at each look while it is waited for."""


class Deployments:
    """`client.deployments`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def create(
        self, name: str, model: str, replicas: int = 1, serving: Mapping[str, Any] | None = None
    ) -> Deployment:
        """`model` is "name", "name:3" or "name@alias"; returns before its replicas are ready. `serving`: see
        `set`."""
        model_name, version = split_reference(model)
        body: dict[str, Any] = {"name": name, "model": model_name, "replicas": replicas}
        body |= {"serving": dict(serving)} if serving else {}
        if version and version.startswith("@"):
            body["alias"] = version[1:]
        elif version:
            body["version"] = int(version) if version.isdigit() and len(version) < 8 else version
        return self._as(self._client.transport.post("/api/v1/deployments", body))

    def put(
        self,
        name: str,
        model: str,
        replicas: int | None = None,
        serving: Mapping[str, Any] | None = None,
    ) -> Deployment:
        """`create`, or, where `name` serves this model already, give all its requests to the version: the old one
        goes on until the new one is ready. Raises Conflict where `name` serves another model."""
        base = split_reference(model)[0]
        try:
            there = self.show(name)
        except NotFound:
            return self.create(name, model, replicas or 1, serving)
        if there.model != base:
            raise Conflict(f"the deployment {name!r} serves another model", came=base, allowed=there.model)
        version = self._client.models.version(model)["version"]
        body: dict[str, Any] = {"split": {str(version): 1.0}}
        body |= {} if replicas is None else {"replicas": replicas}
        body |= {"serving": dict(serving)} if serving else {}
        return self._patch(name, body)

    def list(self, limit: int | None = None) -> list[Deployment]:
        return [self._as(d) for d in self._client.transport.pages("/api/v1/deployments", limit)]

    def show(self, name: str) -> Deployment:
        return self._as(self._client.transport.get(at("deployments", name)))

    def scale(self, name: str, replicas: int) -> Deployment:
        return self._patch(name, {"replicas": replicas})

    def set(self, name: str, **serving: Any) -> Deployment:
        """Say how a deployment serves; None takes a value back.

        slots, context, threads (of engines that generate), cache (seconds that an answer is kept), fallback
        (another deployment), first_token (seconds that it may take), sleep (idle seconds after which its replicas
        end), pinned, shared (with all tenants), timeout (seconds of a request). A change of slots, context or
        threads starts the replicas anew, one after the other; a version with one replica alone answers nothing
        meanwhile."""
        return self._patch(name, {"serving": serving})

    def split(self, name: str, weights: Mapping[str, float] | Mapping[int, float]) -> Deployment:
        """Version -> its share of the requests, as {3: 90, 4: 10}."""
        return self._patch(name, {"split": {str(v): w for v, w in weights.items()}})

    def delete(self, name: str) -> None:
        self._client.transport.send(Request(method="DELETE", path=at("deployments", name)))

    def wait(
        self, name: str, timeout: float = 60.0, watch: Callable[[Deployment], None] | None = None
    ) -> Deployment:
        """The deployment when all its replicas are ready, or sleep. Raises its error, or DeadlineExceeded."""
        deadline = time.monotonic() + timeout
        while True:
            now = self.show(name)
            if watch:
                watch(now)
            if now.state in ("ready", "asleep"):
                return now
            if now.state == "failed":
                raise from_dict(now.error or {"message": f"deployment {name} failed"})
            if time.monotonic() > deadline:
                text = f"deployment {name} is not ready within {timeout:g} s; it goes on"
                raise DeadlineExceeded(text, came=now.why or None)
            time.sleep(_LOOK)

    def _patch(self, name: str, body: dict[str, Any]) -> Deployment:
        request = Request(method="PATCH", path=at("deployments", name), json=body)
        return self._as(self._client.transport.send(request))

    def _as(self, raw: dict[str, Any]) -> Deployment:
        return Deployment(raw, self._client)
