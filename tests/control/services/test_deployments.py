from pathlib import Path
from typing import Any

import msgspec
import pytest

from control_seed import add_model, add_tenant
from modelyard.control.platform import Platform
from modelyard.control.services import aliases, deployments, rollout
from modelyard.control.services.deployment_views import DeploymentView
from modelyard.control.services.deployments import Change, NewDeployment
from modelyard.control.services.idempotency import Once
from modelyard.control.services.readiness import ReplicaStatus
from modelyard.control.services.snapshots import snapshot
from modelyard.errors import Conflict, Corrupt, InvalidInput, NotFound
from modelyard.types.route import Route, Snapshot

FAULT = {"code": "corrupt", "message": "file 'model.onnx' does not match its digest"}


@pytest.fixture(autouse=True)
def two_versions(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)
    add_model(platform, tmp_path)


def deploy(platform: Platform, **fields: Any) -> DeploymentView:
    return deployments.create(platform, "default", NewDeployment(name="live", model="colours", **fields))


def look(platform: Platform, *ready: int, failed: tuple[int, ...] = ()) -> None:
    """What the loop does when the replicas of these versions answer, or gave up."""
    found: dict[tuple[str, str], dict[int, ReplicaStatus]] = {}
    for w in rollout.wanted_replicas(platform):
        state: Any = "ready" if w.number in ready else "failed" if w.number in failed else "starting"
        status = ReplicaStatus(state=state, address=f"unix:/{w.number}/{w.replica}",
                               error=FAULT if state == "failed" else None)  # fmt: skip
        found.setdefault(w.key, {})[w.replica] = status
    platform.readiness.update(found)
    rollout.promote(platform)


def route(platform: Platform) -> Route:
    (found,) = msgspec.json.decode(snapshot(platform), type=Snapshot).routes
    return found


def shares(platform: Platform) -> dict[str, float]:
    return {v.version: v.weight for v in route(platform).versions}


def test_a_deployment_serves_when_a_replica_answers(platform: Platform) -> None:
    assert deploy(platform, version="1", replicas=2).state == "starting"
    assert route(platform).versions == ()
    assert [w.replica for w in rollout.wanted_replicas(platform)] == [0, 1]
    look(platform, 1)
    shown = deployments.show(platform, "default", "live")
    assert (shown.state, shown.ready, shown.task) == ("ready", 2, "tabular-classification")
    (version,) = route(platform).versions
    assert version.replicas == ("unix:/1/0", "unix:/1/1")
    assert version.digest == shown.versions[0].digest


def test_a_new_version_takes_over_when_it_is_ready_and_not_before(platform: Platform) -> None:
    deploy(platform, version="1")
    look(platform, 1)
    deployments.change(platform, "default", "live", Change(split={"2": 1}))
    look(platform, 1)
    assert shares(platform) == {"1": 1.0}
    assert deployments.show(platform, "default", "live").state == "starting"
    look(platform, 1, 2)
    assert shares(platform) == {"2": 1.0}
    assert {w.number for w in rollout.wanted_replicas(platform)} == {2}
    assert deployments.show(platform, "default", "live").state == "ready"


def test_a_bad_new_version_never_takes_the_old_one_away(platform: Platform) -> None:
    deploy(platform, version="1")
    look(platform, 1)
    deployments.change(platform, "default", "live", Change(split={"2": 1}))
    look(platform, 1, failed=(2,))
    assert shares(platform) == {"1": 1.0}
    shown = deployments.show(platform, "default", "live")
    assert (shown.state, shown.error) == ("failed", FAULT)
    deployments.change(platform, "default", "live", Change(split={"1": 1}))
    look(platform, 1)
    assert {w.number for w in rollout.wanted_replicas(platform)} == {1}
    assert shares(platform) == {"1": 1.0}


def test_a_split(platform: Platform) -> None:
    deploy(platform, version="1")
    look(platform, 1)
    before = route(platform).revision
    deployments.change(platform, "default", "live", Change(replicas=2, split={"1": 3, "latest": 1}))
    look(platform, 1, 2)
    assert shares(platform) == {"1": 0.75, "2": 0.25}
    assert route(platform).revision > before
    look(platform, 2)
    assert shares(platform) == {"2": 0.25}, "a version without a replica leaves its share to the others"
    look(platform)
    assert [v.replicas for v in route(platform).versions] == [(), ()]


@pytest.mark.parametrize(
    ("split", "error"),
    [({}, InvalidInput), ({"1": 0}, InvalidInput), ({"1": -1.0, "2": 2}, InvalidInput), ({"9": 1}, NotFound),
     ({"1": float("nan")}, InvalidInput), ({"1": float("inf")}, InvalidInput),
     ({"2": 1, "latest": 1}, InvalidInput), ({"x": 1}, InvalidInput),
     ({str(i): 1 for i in range(17)}, InvalidInput)],
)  # fmt: skip
def test_what_is_no_split(platform: Platform, split: dict[str, float], error: type[Exception]) -> None:
    deploy(platform, version="1")
    with pytest.raises(error):
        deployments.change(platform, "default", "live", Change(split=split))
    assert deployments.show(platform, "default", "live").revision == 1


@pytest.mark.parametrize("replicas", [0, -1, 65, 10**9])
def test_how_many_replicas(platform: Platform, replicas: int) -> None:
    with pytest.raises(InvalidInput, match="allowed: 1 to 64"):
        deploy(platform, replicas=replicas)


def test_what_cannot_be_deployed(platform: Platform) -> None:
    aliases.put(platform, "default", "colours", "champion", "1")
    assert deploy(platform, alias="champion").versions[0].version == 1
    with pytest.raises(Conflict, match="already"):
        deploy(platform)
    for fields in ({"version": "9"}, {"alias": "nobody"}):
        with pytest.raises(NotFound):
            deploy(platform, **fields)
    with pytest.raises(InvalidInput, match="one of them"):
        deploy(platform, version="1", alias="champion")
    with pytest.raises(NotFound, match="no model"):
        deployments.create(platform, "default", NewDeployment(name="a", model="nothing"))
    with pytest.raises(InvalidInput, match="not a name"):
        deployments.create(platform, "default", NewDeployment(name="A/B", model="colours"))


def test_a_package_with_a_flipped_byte_is_refused_by_its_name(platform: Platform) -> None:
    version = deploy(platform).versions[0]
    deployments.delete(platform, "default", "live")
    path = next(p for p in platform.home.blobs.rglob("*") if p.is_file() and b"Softmax" in p.read_bytes())
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=r"model\.onnx"):
        deploy(platform)
    assert version.version == 2


def test_the_same_key_makes_one_deployment(platform: Platform) -> None:
    once, other = Once(key="k", request_hash="1"), Once(key="k", request_hash="2")
    asked = NewDeployment(name="live", model="colours")
    first = deployments.create(platform, "default", asked, once)
    assert deployments.create(platform, "default", asked, once) == first
    with pytest.raises(Conflict, match="Idempotency-Key"):
        deployments.create(platform, "default", asked, other)


def test_deployments_of_another_tenant_are_not_there(platform: Platform, tmp_path: Path) -> None:
    add_tenant(platform, "other")
    deploy(platform)
    add_model(platform, tmp_path, tenant="other")
    deployments.create(platform, "other", NewDeployment(name="live", model="colours"))
    with pytest.raises(NotFound):
        deployments.create(platform, "other", NewDeployment(name="two", model="colours", version="2"))
    routes = msgspec.json.decode(snapshot(platform), type=Snapshot).routes
    assert sorted((r.tenant, r.name) for r in routes) == [("default", "live"), ("other", "live")]
