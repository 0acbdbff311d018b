"""Copying an MLflow server into this platform: experiments, runs with their histories and files, logged models.

What was copied carries a tag with where it comes from, and another when it is whole: copying again goes on where it
ended and copies nothing twice.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

from modelyard.client.mlflow_wire import RemoteFile, Wire
from modelyard.errors import ModelyardError, NotFound, Unavailable

FROM_TAG: Final = "modelyard.imported_from"
WHOLE_TAG: Final = "modelyard.imported_whole"
_BATCH: Final = 1000
_NOTES: Final = 100
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(kw_only=True)
class Copied:
    """What was copied, and what could not be."""

    experiments: int = 0
    runs: int = 0
    runs_there: int = 0
    metrics: int = 0
    files: int = 0
    bytes: int = 0
    logged_models: int = 0
    registered_models: int = 0
    versions: int = 0
    problems: list[str] = field(default_factory=list)


class Copy:
    """From `source` to `target`. `runs` and `models` map what the source calls them to what we do."""

    def __init__(self, source: Wire, target: Wire, say: Say) -> None:
        self.source, self.target, self.say = source, target, say
        self.copied = Copied()
        self.runs: dict[str, str] = {}
        self.models: dict[str, str] = {}
        self.whole = True

    def experiments(self, name: str | None) -> None:
        """All of them, or one. Raises NotFound for one that is not there."""
        self.whole = name is None
        found = list(self.source.pages("/experiments/search", "experiments", {"max_results": 1000}))
        wanted = [e for e in found if name is None or e["name"] == name]
        if name is not None and not wanted:
            raise NotFound(f"{self.source.url} has no experiment {name!r}")
        for experiment in wanted:
            self._experiment(experiment)

    def _experiment(self, experiment: dict[str, Any]) -> None:
        target = self._target_experiment(experiment)
        there = {tags_of(r).get(FROM_TAG): r for r in self._runs(self.target, target)}
        runs = [r for r in self._runs(self.source, experiment["experiment_id"])]
        fresh: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for run in reversed(runs):  # the oldest first, as they were made
            here = there.get(self.origin(run["info"]["run_id"])) or self._begin_run(target, run)
            self.runs[run["info"]["run_id"]] = here["info"]["run_id"]
            if WHOLE_TAG in tags_of(here):
                self.copied.runs_there += 1
            else:
                fresh.append((run, here))
        self._logged_models(experiment["experiment_id"], target)
        for run, here in fresh:
            self._guarded(f"run {run['info']['run_id']}", lambda r=run, h=here: self._fill_run(r, h))  # type: ignore[misc]

    def _target_experiment(self, experiment: dict[str, Any]) -> str:
        try:
            found = self.target.get("/experiments/get-by-name", experiment_name=experiment["name"])
            return str(found["experiment"]["experiment_id"])
        except NotFound:
            self.copied.experiments += 1
            body = {"name": experiment["name"], "tags": experiment.get("tags", [])}
            return str(self.target.post("/experiments/create", body)["experiment_id"])

    def _runs(self, wire: Wire, experiment: str) -> Iterator[dict[str, Any]]:
        return wire.pages("/runs/search", "runs", {"experiment_ids": [experiment], "max_results": 1000})

    def _begin_run(self, experiment: str, run: dict[str, Any]) -> dict[str, Any]:
        info = run["info"]
        body = {
            "experiment_id": experiment,
            "user_id": info.get("user_id"),
            "run_name": info.get("run_name"),
            "start_time": info.get("start_time"),
            "tags": [{"key": FROM_TAG, "value": self.origin(info["run_id"])}],
        }
        here: dict[str, Any] = self.target.post("/runs/create", body)["run"]
        return here

    def _fill_run(self, run: dict[str, Any], here: dict[str, Any]) -> None:
        source, target = run["info"]["run_id"], here["info"]["run_id"]
        data = run.get("data", {})
        self._notes(target, "params", data.get("params", []))
        self._notes(target, "tags", [t for t in data.get("tags", []) if t["key"] != FROM_TAG])
        for metric in data.get("metrics", []):
            self._history(source, target, metric["key"])
        self._inputs(target, run)
        self._files(run["info"]["artifact_uri"], source, here["info"]["artifact_uri"], target)
        status = {
            "run_id": target,
            "status": run["info"].get("status"),
            "end_time": run["info"].get("end_time"),
        }
        self.target.post("/runs/update", status)
        self.target.post("/runs/set-tag", {"run_id": target, "key": WHOLE_TAG, "value": "true"})
        self.copied.runs += 1
        self.say(f"run {run['info'].get('run_name') or source} -> {target}")

    def _notes(self, target: str, what: str, notes: list[dict[str, str]]) -> None:
        for part in _batches(notes, _NOTES):
            self.target.post("/runs/log-batch", {"run_id": target, what: list(part)})

    def _history(self, source: str, target: str, key: str) -> None:
        asked = {"run_id": source, "run_uuid": source, "metric_key": key, "max_results": 25_000}
        points = self.source.pages("/metrics/get-history", "metrics", asked, "GET")
        for part in _batches(points, _BATCH):
            metrics = [self._point(point) for point in part]
            self.target.post("/runs/log-batch", {"run_id": target, "metrics": metrics})
            self.copied.metrics += len(metrics)

    def _point(self, point: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in point.items() if k in ("key", "value", "timestamp", "step", "dataset_name",
                                                        "dataset_digest")}  # fmt: skip
        model = self.models.get(point.get("model_id", ""))
        return kept | ({"model_id": model} if model else {})

    def _inputs(self, target: str, run: dict[str, Any]) -> None:
        datasets = run.get("inputs", {}).get("dataset_inputs", [])
        if datasets:
            self.target.post("/runs/log-inputs", {"run_id": target, "datasets": datasets})
        made = run.get("outputs", {}).get("model_outputs", [])
        models = [{"model_id": self.models[m["model_id"]], "step": m.get("step", 0)} for m in made
                  if m.get("model_id") in self.models]  # fmt: skip
        if models:
            self.target.post("/runs/outputs", {"run_id": target, "models": models})

    def _logged_models(self, source: str, target: str) -> None:
        there: dict[str | None, dict[str, Any]] = {}
        for model in self.target.pages("/logged-models/search", "models", {"experiment_ids": [target]}):
            there[tags_of(model["info"]).get(FROM_TAG)] = model["info"]
        try:
            found = list(self.source.pages("/logged-models/search", "models", {"experiment_ids": [source]}))
        except NotFound:
            return  # MLflow 2 has none
        for model in reversed(found):
            name = f"logged model {model['info']['model_id']}"
            self._guarded(name, lambda m=model: self._logged_model(target, m, there))  # type: ignore[misc]

    def _logged_model(
        self, experiment: str, model: dict[str, Any], there: dict[str | None, dict[str, Any]]
    ) -> None:
        info, data = model["info"], model.get("data", {})
        origin = self.origin(info["model_id"])
        here = there.get(origin)
        fresh = here is None
        if here is None:
            tags = [*info.get("tags", []), {"key": FROM_TAG, "value": origin}]
            body = {
                "experiment_id": experiment,
                "name": info.get("name"),
                "model_type": info.get("model_type"),
                "source_run_id": self.runs.get(info.get("source_run_id", "")),
                "params": data.get("params", []),
                "tags": [t for t in tags if t["key"] != "mlflow.modelVersions"],
            }
            here = self.target.post("/logged-models", body)["model"]["info"]
        self.models[info["model_id"]] = here["model_id"]
        if here.get("status") != "LOGGED_MODEL_READY":
            self._model_metrics(data.get("metrics", []))
            self._files(info["artifact_uri"], info["model_id"], here["artifact_uri"], here["model_id"])
            status = info.get("status", "LOGGED_MODEL_READY")
            if fresh or here.get("status") != status:
                self.target.post(f"/logged-models/{here['model_id']}", {"status": status}, "PATCH")
                self.copied.logged_models += 1

    def _model_metrics(self, metrics: list[dict[str, Any]]) -> None:
        """The histories of MLflow's own server do not say whose a point is: so these come first, and stay."""
        for run, target in {m.get("run_id", ""): self.runs.get(m.get("run_id", "")) for m in metrics}.items():
            points = [self._point(m) for m in metrics if m.get("run_id") == run]
            for part in _batches(points, _BATCH) if target else ():
                self.target.post("/runs/log-batch", {"run_id": target, "metrics": part})

    def _files(self, source_uri: str, source: str, target_uri: str, target: str) -> None:
        """Those that are not here yet."""
        here = {(f.path, f.size) for f in _files(self.target, target)}
        for file in _files(self.source, source):
            if (file.path, file.size) not in here:
                content = self.source.download(source_uri, source, file.path)
                self.copied.bytes += self.target.upload(target_uri, file, content)
                self.copied.files += 1

    def origin(self, what: str) -> str:
        """What FROM_TAG says of something."""
        return f"{self.source.url}/{what}"

    def _guarded(self, what: str, work: Callable[[], None]) -> None:
        """One thing that cannot be copied does not keep the others from it; a server that is gone does."""
        try:
            work()
        except Unavailable:
            raise
        except ModelyardError as error:
            self.copied.problems.append(f"{what}: {error.message}")
            self.say(f"not copied: {what}: {error.message}")


def tags_of(thing: dict[str, Any]) -> dict[str, str]:
    """Of a run, or of what has its tags beside its name."""
    tags: Iterable[dict[str, str]] = thing.get("data", thing).get("tags", [])
    return {tag["key"]: tag.get("value", "") for tag in tags}


def _files(wire: Wire, owner: str) -> Iterator[RemoteFile]:
    return wire.files_of_model(owner) if owner.startswith("m-") else wire.files_of_run(owner)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
