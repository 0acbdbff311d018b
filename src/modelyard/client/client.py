"""The platform from Python: the command line's nouns and verbs."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from modelyard.client.data import Datasets
from modelyard.client.deployments import Deployment, Deployments
from modelyard.client.environments import Environments
from modelyard.client.inputs import request_for
from modelyard.client.keys import Keys
from modelyard.client.models import Models
from modelyard.client.recipe import Recipe, assemble
from modelyard.client.runs import Run, Runs, Watch
from modelyard.client.script import ScriptOptions, script_params
from modelyard.client.settings import resolve
from modelyard.client.tenants import Tenants
from modelyard.client.transport import PATIENCE, Transport, error_of
from modelyard.client.usage import GROUPS, Usage, read_usage
from modelyard.errors import ModelyardError
from modelyard.home import Home


class Client:
    """yard = modelyard.Client()
        yard.data.add("digits")
        run = yard.train(task="image-classification", data="digits", net="cnn", name="reader")
        yard.deploy("reader", "reader")
        yard.predict("reader", Path("three.png"))

    `url` is control's address (or YARD_URL, or the one of YARD_HOME's platform); `api_key` (or YARD_API_KEY,
    or the admin key of YARD_HOME's platform). Nothing is asked before the first call. Errors are those of
    modelyard.errors.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        gateway_url: str | None = None,
        home: Home | None = None,
        timeout: float = 60.0,
        patience: float = PATIENCE,
    ) -> None:
        self.settings = resolve(url, api_key, gateway_url, home or Home.from_environment())
        self.transport = Transport(self.settings, timeout, patience)
        self.data = Datasets(self)
        self.runs = Runs(self)
        self.models = Models(self)
        self.deployments = Deployments(self)
        self.keys = Keys(self)
        self.tenants = Tenants(self)
        self.environments = Environments(self)

    def __repr__(self) -> str:
        return f"Client({self.settings.url!r})"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client can still be used."""
        self.transport.close()

    def status(self) -> dict[str, Any]:
        """How the platform is."""
        return dict(self.transport.get("/api/v1/status"))

    def train(
        self, recipe: Recipe | None = None, *, wait: bool = True, watch: Watch | None = None, **keys: Any
    ) -> Run:
        """Train by a recipe (a dict, or the path of a YAML file) with `keys` over it. Returns the run."""
        run = self.runs.start("train", assemble(recipe, keys))
        return run.wait(watch=watch) if wait else run

    def run(
        self,
        script: str | PathLike[str],
        *,
        data: Sequence[str] = (),
        options: ScriptOptions | None = None,
        wait: bool = True,
        watch: Watch | None = None,
        **more: Any,
    ) -> Run:
        """Run a script of any framework with data sets ("digits", "digits:3"); `more` are fields of
        ScriptOptions, by
        name. Returns the run."""
        run = self.runs.start(
            "script", script_params(self.transport, Path(script), data, options or ScriptOptions(**more))
        )
        return run.wait(watch=watch) if wait else run

    def evaluate(
        self,
        model: str,
        data: str | None = None,
        split: str | None = None,
        *,
        wait: bool = True,
        watch: Watch | None = None,
    ) -> Run:
        """Evaluate a version ("name", "name:3", "name@alias"), by default on what it was trained with."""
        params = {"model": model, "data": data, "split": split}
        run = self.runs.start("evaluate", {k: v for k, v in params.items() if v is not None})
        return run.wait(watch=watch) if wait else run

    def deploy(
        self,
        name: str,
        model: str,
        replicas: int | None = None,
        *,
        serving: Mapping[str, Any] | None = None,
        wait: bool = True,
        timeout: float = 60.0,
    ) -> Deployment:
        """Put a model's version ("name", "name:3", "name@alias") behind `name`, in the place of an older one.
        `serving`: see `deployments.set`."""
        deployment = self.deployments.put(name, model, replicas, serving)
        return deployment.wait(timeout) if wait else deployment

    def predict(self, name: str, value: Any, **parameters: Any) -> Any:
        """Ask a deployment.

        `value`: bytes or the path of an image; a dict of columns or of one row; a list of rows (dicts) or of
        images; a text; None or a seed, where a model makes something of nothing. `parameters` are the task's, as
        top_k=3. Answers as the Hugging Face interface does; an image as its file, bytes.
        """
        response = self.transport.raw(request_for(name, value, parameters), self.gateway_url)
        if response.status_code >= 400:
            raise error_of(response)
        if not response.headers.get("content-type", "").startswith("application/json"):
            return response.content
        return response.json()

    def usage(
        self,
        *,
        since: str | date | None = None,
        until: str | date | None = None,
        key: str | None = None,
        model: str | None = None,
        by: Sequence[str] = GROUPS,
        tenant: str | None = None,
    ) -> list[Usage]:
        """Requests and tokens, summed by some of "key", "model", "day". `since` and `until` are days (UTC), both
        included, as dates or "2026-01-31"; `key` is an id or a name; `tenant` is another one than the client's own,
        for an admin of the first tenant."""
        asked = {"key": key, "model": model, "group": ",".join(by), "tenant": tenant}
        days = {name: str(day) for name, day in (("from", since), ("to", until)) if day is not None}
        return read_usage(self, asked | days)

    @cached_property
    def gateway_url(self) -> str:
        """Where predictions go."""
        url = self.settings.gateway_url or self.status().get("gateway_url")
        if not url:
            raise ModelyardError("the gateway's address is not known; set YARD_GATEWAY_URL")
        return str(url)
