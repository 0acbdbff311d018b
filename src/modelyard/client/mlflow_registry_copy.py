"""Copying the registry of an MLflow server: registered models, their versions, stages and aliases."""

import re
from typing import Any, Final

from modelyard.client.mlflow_copy import FROM_TAG, Copy, tags_of
from modelyard.errors import InvalidInput, ModelyardError, NotFound, Unavailable

_SOURCE: Final = re.compile(
    r"(?:runs:/(?P<run>[^/]+)|.*/(?P<stored>[0-9a-z_]{26,40})/artifacts)/(?P<path>.+)"
)
_LOGGED: Final = re.compile(r"(?:models:/|.*/models/)(?P<id>m-[0-9a-z]+)(?:/artifacts)?/?")


def copy_registry(copy: Copy) -> None:
    """What `copy` has not copied the files of is left out, and said."""
    asked = {"max_results": 100}
    left = list(copy.source.pages("/registered-models/search", "registered_models", asked, "GET"))
    while left:
        failed = [(model, said) for model in left if (said := _tried(copy, model)) is not None]
        if len(failed) == len(left):
            copy.copied.problems += [f"registered model {m['name']!r}: {said}" for m, said in failed]
            return
        left = [model for model, _ in failed]  # a copy of another one waits until that one is there


def _tried(copy: Copy, model: dict[str, Any]) -> str | None:
    """Why it could not be copied."""
    try:
        _copy_model(copy, model)
    except Unavailable:
        raise
    except ModelyardError as error:
        return error.message
    return None


def _copy_model(copy: Copy, model: dict[str, Any]) -> None:
    name = model["name"]
    asked = {"filter": "name='" + name.replace("'", "''") + "'", "max_results": 1000}
    versions = list(copy.source.pages("/model-versions/search", "model_versions", asked, "GET"))
    wanted = sorted((v for v in versions if _source_of(copy, v) is not None), key=lambda v: int(v["version"]))
    for version in versions:
        if version not in wanted and _is_of_interest(copy, version):
            text = f"version {version['version']} of {name!r}: its files {version.get('source')!r} were not copied"
            if text not in copy.copied.problems:
                copy.copied.problems.append(text)
    if not wanted:
        return
    _ensure_model(copy, model)
    there = {tags_of(v).get(FROM_TAG): v["version"]
             for v in copy.target.pages("/model-versions/search", "model_versions", asked, "GET")}  # fmt: skip
    numbers = {v["version"]: there.get(_origin(copy, v)) or _make_version(copy, v) for v in wanted}
    for alias in model.get("aliases", []):
        if alias["version"] in numbers:
            body = {"name": name, "alias": alias["alias"], "version": numbers[alias["version"]]}
            copy.target.post("/registered-models/alias", body)


def _ensure_model(copy: Copy, model: dict[str, Any]) -> None:
    try:
        copy.target.get("/registered-models/get", name=model["name"])
    except NotFound:
        body = {key: model.get(key) for key in ("name", "description", "tags")}
        copy.target.post("/registered-models/create", body)
        copy.copied.registered_models += 1


def _make_version(copy: Copy, version: dict[str, Any]) -> str:
    tags = [*version.get("tags", []), {"key": FROM_TAG, "value": _origin(copy, version)}]
    body = {
        "name": version["name"],
        "source": _source_of(copy, version),
        "description": version.get("description"),
        "tags": [t for t in tags if t["key"] != "modelyard.version"],
    }
    made = copy.target.post("/model-versions/create", body)["model_version"]
    stage = version.get("current_stage", "None")
    if stage != "None":
        moved = {"name": version["name"], "version": made["version"], "stage": stage}
        copy.target.post("/model-versions/transition-stage", moved)
    copy.copied.versions += 1
    copy.say(f"model {version['name']} version {version['version']} -> {made['version']}")
    return str(made["version"])


def _source_of(copy: Copy, version: dict[str, Any]) -> str | None:
    """Where its files are here; None for files that were not copied."""
    source = str(version.get("source", ""))
    if logged := _LOGGED.fullmatch(source):
        here = copy.models.get(logged["id"])
        return None if here is None else f"models:/{here}"
    if stored := _SOURCE.fullmatch(source):
        run = copy.runs.get(stored["run"] or stored["stored"])
        return None if run is None else f"runs:/{run}/{stored['path']}"
    return source if re.fullmatch(r"models:/[^/@]+/\d+", source) else None


def _is_of_interest(copy: Copy, version: dict[str, Any]) -> bool:
    """With one experiment copied, versions of the others are no loss."""
    return copy.whole or version.get("run_id", "") in copy.runs


def _origin(copy: Copy, version: dict[str, Any]) -> str:
    return copy.origin(f"{version['name']}/{version['version']}")


def check_url(url: str) -> None:
    """Raises InvalidInput."""
    if not re.match(r"https?://[^/]+", url):
        raise InvalidInput(
            "the address of an MLflow server", came=url, allowed="http://host:port or https://host"
        )
