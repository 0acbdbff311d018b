"""Environments as control sees them: who needs them, and which can go."""

import os
import shutil
import time

import msgspec
import pytest

from control_seed import add_run, add_tenant, publish
from modelyard import environments as built
from modelyard.control.loops.housekeeping import Housekeeping
from modelyard.control.services import environments
from modelyard.control.services.pages import PageRequest
from modelyard.environments import build, shelf
from modelyard.errors import Conflict, InvalidInput, NotFound
from modelyard.types.run import RunOutcome
from small_package import write_package
from wheels import only_from, write_wheel

ONE, TWO = "yardsmall==1.0\n", "yardsmall==2.0\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two environments, which nobody holds: built once."""
    root = tmp_path_factory.mktemp("built")
    for version in ("1.0", "2.0"):
        write_wheel(root / "index", "yardsmall", version)
    with pytest.MonkeyPatch.context() as patched:
        only_from(root / "index", patched)
        for text in (ONE, TWO):
            built.ensure(root / "environments", text, lambda line: None)
    while build._held:
        os.close(build._held.pop())
    return root / "environments"


@pytest.fixture
def shelved(platform, folder):
    """Their digests, where they lie in the platform's home."""
    shutil.copytree(folder, platform.home.environments, symlinks=True)
    return built.digest(ONE), built.digest(TWO)


def listed(platform, tenant="default", limit=100, cursor=None):
    return environments.list_environments(
        platform, tenant, PageRequest(limit=limit, cursor=cursor, secret=platform.secret)
    )


def add_version(platform, work, digest, tenant="default"):
    """A version whose engine needs the environment."""
    write_package(work / "package")
    manifest = msgspec.json.decode((work / "package/model.json").read_bytes())
    (work / "package/model.json").write_bytes(
        msgspec.json.encode(manifest | {"requirements": digest}, order="sorted")
    )
    outcome = RunOutcome(state="succeeded", outputs={"package": "package"})
    return publish(platform, work, outcome, {"model": "needy"}, tenant)


def unused_for(platform, digest, days):
    then = time.time() - days * 86400
    os.utime(platform.home.environments / digest / "used", (then, then))


def test_a_list_in_pages(platform, shelved):
    page = listed(platform, limit=1)
    assert [one.digest for one in page.items] == [min(shelved)]
    page = listed(platform, limit=1, cursor=page.next)
    assert [one.digest for one in page.items] == [max(shelved)]
    assert page.next is None
    with pytest.raises(InvalidInput, match="cursor"):
        listed(platform, cursor="forged")


def test_none_at_first(platform):
    assert listed(platform).items == []
    assert environments.collect(platform).removed == []


def test_one_is_shown_by_the_beginning_of_its_digest(platform, shelved):
    view = environments.show(platform, "default", shelved[0][:8])
    assert view.digest == shelved[0]
    assert view.requirements == ["yardsmall==1.0"]
    assert view.installed == {"yardsmall": "1.0"}
    assert view.size > 1000
    assert view.made_at is not None
    for unknown in ("0" * 64, shelved[0][:7], "../secret", "", "*"):
        with pytest.raises(NotFound):
            environments.show(platform, "default", unknown)


def test_one_that_could_not_be_built_is_listed(platform, tmp_path, monkeypatch):
    only_from(tmp_path, monkeypatch)
    with pytest.raises(InvalidInput):
        built.ensure(platform.home.environments, "yardabsent==1\n", lambda line: None)
    view = environments.show(platform, "default", built.digest("yardabsent==1"))
    assert view.made_at is None
    assert view.requirements == ["yardabsent==1"]


def test_what_a_version_needs_stays(platform, shelved, tmp_path):
    add_version(platform, tmp_path / "out", shelved[0])
    assert environments.show(platform, "default", shelved[0]).versions == ["needy:1"]
    with pytest.raises(Conflict, match=r"is needed; came: needy:1"):
        environments.remove(platform, "default", shelved[0])
    unused_for(platform, shelved[0], 400)
    assert environments.collect(platform, 30).removed == []


def test_what_another_tenant_needs_stays_and_is_not_named(platform, shelved, tmp_path):
    add_tenant(platform, "other")
    add_version(platform, tmp_path / "out", shelved[0], "other")
    assert environments.show(platform, "default", shelved[0]).versions == []
    with pytest.raises(Conflict) as caught:
        environments.remove(platform, "default", shelved[0])
    assert "needy" not in caught.value.message


def test_what_a_run_needs_stays_until_it_has_ended(platform, shelved):
    waiting = add_run(platform, kind="script", params={"requirements": " YardSmall == 1.0 # mine"})
    add_run(platform, kind="script", params={"requirements": TWO}, state="succeeded")
    add_run(platform, kind="script", params={"requirements": "-r x"})
    assert environments.show(platform, "default", shelved[0]).runs == [waiting]
    with pytest.raises(Conflict):
        environments.remove(platform, "default", shelved[0])
    environments.remove(platform, "default", shelved[1])
    assert [one.digest for one in listed(platform).items] == [shelved[0]]


def test_what_is_held_stays(platform, shelved):
    unused_for(platform, shelved[0], 400)
    with shelf.held(platform.home.environments, shelved[0], alone=False):
        with pytest.raises(Conflict, match="in use"):
            environments.remove(platform, "default", shelved[0])
        assert environments.collect(platform, 30).removed == []
    assert environments.collect(platform, 30).removed == [shelved[0]]


def test_what_nobody_asked_for_lately_is_collected(platform, shelved):
    unused_for(platform, shelved[0], 31)
    unused_for(platform, shelved[1], 29)
    size = environments.show(platform, "default", shelved[0]).size
    found = environments.collect(platform, 30)
    assert (found.removed, found.bytes) == ([shelved[0]], size)
    assert not (platform.home.environments / shelved[0]).exists()
    Housekeeping(platform).step()
    assert [one.digest for one in listed(platform).items] == [shelved[1]]
    unused_for(platform, shelved[1], 31)
    Housekeeping(platform).step()
    assert listed(platform).items == []
