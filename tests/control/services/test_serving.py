"""How a deployment serves: what may be set, and what becomes of it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from control_seed import add_model, add_tenant
from modelyard.control.platform import Platform
from modelyard.control.services import deployments
from modelyard.control.services.deployment_views import DeploymentView
from modelyard.control.services.deployments import Change, NewDeployment
from modelyard.control.services.serving import CHECKS
from modelyard.control.services.snapshots import snapshot
from modelyard.errors import InvalidInput, UnknownName
from modelyard.store.registry import Model, ModelVersion
from modelyard.types.route import Serving, Snapshot


@pytest.fixture(autouse=True)
def models(platform: Platform, tmp_path: Path) -> None:
    """`writer` is made one that generates: what may be set is a matter of its versions' formats."""
    add_model(platform, tmp_path)
    add_model(platform, tmp_path, name="writer")
    with platform.database.write() as session:
        for model in session.query(Model).filter_by(name="writer"):
            model.task = "text-generation"
            for version in session.query(ModelVersion).filter_by(model_id=model.id):
                version.manifest = version.manifest | {"formats": {"gguf": "model.gguf"}}


def deploy(
    platform: Platform, name: str, model: str = "writer", version: str | None = None, **serving: Any
) -> DeploymentView:
    asked = NewDeployment(name=name, model=model, version=version, serving=serving)
    return deployments.create(platform, "default", asked)


def put(platform: Platform, name: str, **serving: Any) -> DeploymentView:
    return deployments.change(platform, "default", name, Change(serving=serving))


def served(platform: Platform, name: str) -> Serving:
    routes = msgspec.json.decode(snapshot(platform), type=Snapshot).routes
    return next(r.serving for r in routes if r.name == name)


def test_every_setting_is_checked_and_there_are_no_others() -> None:
    assert set(CHECKS) == set(Serving.__struct_fields__)


def test_what_is_set_is_kept_and_told_to_the_gateway(platform: Platform) -> None:
    shown = deploy(platform, "a", slots=4, sleep=600, pinned=True)
    assert shown.serving == {"slots": 4, "sleep": 600.0, "pinned": True}
    assert served(platform, "a") == Serving(slots=4, sleep=600.0, pinned=True)
    shown = put(platform, "a", slots=None, cache=1.5)
    assert shown.serving == {"sleep": 600.0, "pinned": True, "cache": 1.5}
    assert shown.revision == 2
    assert served(platform, "a") == Serving(sleep=600.0, pinned=True, cache=1.5)


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ({"slots": 0}, "slots; came: 0; allowed: a whole number from 1"),
        ({"slots": 2.0}, "slots; came: 2.0"),
        ({"slots": True}, "slots; came: True"),
        ({"context": "8k"}, "context; came: 8k"),
        ({"threads": 10**9}, "threads; came"),
        ({"cache": -1}, "cache; came: -1; allowed: seconds from 0"),
        ({"cache": float("nan")}, "cache; came: nan"),
        ({"sleep": 0}, "sleep; came: 0; allowed: seconds from 1"),
        ({"sleep": True}, "sleep; came: True"),
        ({"first_token": 0}, "first_token; came: 0"),
        ({"timeout": 1e9}, "timeout; came"),
        ({"pinned": 1}, "pinned; came: 1; allowed: true, false"),
        ({"shared": "yes"}, "shared; came: yes"),
        ({"fallback": 3}, "fallback; came: 3"),
        ({"fallback": ""}, "fallback; came"),
    ],
)
def test_a_value_that_is_not_allowed(platform: Platform, serving: dict[str, Any], said: str) -> None:
    deploy(platform, "a")
    with pytest.raises(InvalidInput, match=said):
        put(platform, "a", **serving)
    assert deployments.show(platform, "default", "a").serving == {}


def test_a_setting_that_is_not_known_names_the_nearest(platform: Platform) -> None:
    with pytest.raises(UnknownName, match="unknown setting 'slot' in serving; did you mean 'slots'"):
        deploy(platform, "a", slot=1)
    assert deployments.list_deployments(platform, "default", _page(platform)).items == []


def _page(platform: Platform) -> Any:
    from modelyard.control.services.pages import PageRequest

    return PageRequest(limit=10, cursor=None, secret=platform.secret)


@pytest.mark.parametrize("setting", ["slots", "context", "cache", "first_token"])
def test_what_a_task_has_no_use_for(platform: Platform, setting: str) -> None:
    deploy(platform, "a", "colours", sleep=5, threads=2, timeout=3.0)
    with pytest.raises(InvalidInput, match=f"{setting} is for models that generate; came: tabular"):
        put(platform, "a", **{setting: 16})


def test_a_fallback_is_another_deployment_of_the_task(platform: Platform) -> None:
    deploy(platform, "first")
    deploy(platform, "colours", "colours")
    with pytest.raises(UnknownName, match="unknown deployment 'frist' in fallback; did you mean 'first'"):
        deploy(platform, "second", fallback="frist")
    with pytest.raises(InvalidInput, match="of another task; came: colours: tabular-classification"):
        deploy(platform, "second", fallback="colours")
    with pytest.raises(InvalidInput, match="leads back to the deployment itself; came: first > first"):
        put(platform, "first", fallback="first")
    assert deploy(platform, "second", fallback="first").serving == {"fallback": "first"}


def test_fallbacks_do_not_go_round(platform: Platform) -> None:
    deploy(platform, "a")
    deploy(platform, "b", fallback="a")
    deploy(platform, "c", fallback="b")
    with pytest.raises(InvalidInput, match="came: a > c > b > a"):
        put(platform, "a", fallback="c")
    assert deployments.show(platform, "default", "a").serving == {}
    put(platform, "b", fallback=None)
    assert put(platform, "a", fallback="c").serving == {"fallback": "c"}


def test_a_fallback_of_another_tenant_is_one_that_it_shares(platform: Platform, tmp_path: Path) -> None:
    add_tenant(platform, "other")
    add_model(platform, tmp_path, name="writer", tenant="other")
    with platform.database.write() as session:
        for model in session.query(Model).filter_by(tenant="other"):
            model.task = "text-generation"
    for name, shared in (("open", True), ("closed", False)):
        asked = NewDeployment(name=name, model="writer", serving={"shared": shared})
        deployments.create(platform, "other", asked)
    assert deploy(platform, "a", fallback="open").serving["fallback"] == "open"
    with pytest.raises(UnknownName):
        deploy(platform, "b", fallback="closed")


def test_whether_it_generates_is_said_by_the_formats_of_its_versions(platform: Platform) -> None:
    """Speech may be recognised by an engine that streams, or in batches: the task alone does not say."""
    deploy(platform, "a")
    deploy(platform, "b", model="colours")
    with platform.database.write() as session:
        for model in session.query(Model).filter_by(name="colours"):
            model.task = "automatic-speech-recognition"
    routes = msgspec.json.decode(snapshot(platform), type=Snapshot).routes
    assert {route.name: route.generates for route in routes} == {"a": True, "b": False}


def test_a_split_is_of_versions_of_one_kind(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)
    with platform.database.write() as session:
        for version in session.query(ModelVersion).filter_by(number=2):
            version.manifest = version.manifest | {"formats": {"gguf": "model.gguf"}}
    deploy(platform, "a", "colours", version="1")
    with pytest.raises(InvalidInput, match="mixes versions that stream"):
        deployments.change(platform, "default", "a", Change(split={"1": 1, "2": 1}))
    deployments.change(platform, "default", "a", Change(split={"2": 1}))
