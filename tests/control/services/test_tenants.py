from pathlib import Path

import pytest

from control_seed import add_dataset, add_model, add_run
from modelyard.control.platform import Platform
from modelyard.control.services import experiments, keys, tenants, usage
from modelyard.control.services.pages import PageRequest
from modelyard.control.services.usage import UsageAsked
from modelyard.errors import Conflict, InvalidInput, NotFound
from modelyard.types.usage import UsageReport, UsageRow

ALL = PageRequest(limit=500, cursor=None, secret=b"x")


def names(platform: Platform) -> list[str]:
    return [tenant.name for tenant in tenants.list_tenants(platform, ALL).items]


def test_tenants_are_made_and_listed(platform: Platform) -> None:
    assert tenants.create(platform, "guests").name == "guests"
    assert names(platform) == ["default", "guests"]
    assert tenants.known(platform, "guests") == "guests"
    with pytest.raises(Conflict, match="already"):
        tenants.create(platform, "guests")


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a" * 64, "é", "-a", "a:b", "a\0"])
def test_no_name_of_a_tenant(platform: Platform, name: str) -> None:
    with pytest.raises(InvalidInput):
        tenants.create(platform, name)
    for ask in (tenants.known, tenants.remove):
        with pytest.raises(NotFound):
            ask(platform, name)


def test_one_that_owns_nothing_goes_with_its_old_keys_and_its_usage(platform: Platform) -> None:
    tenants.create(platform, "guests")
    key = keys.create(platform, "guests", "visitor", ["admin"])
    rows = [UsageRow(tenant=t, key=key.id, model="m", day=5, prompt=3) for t in ("guests", "default")]
    usage.receive(platform, UsageReport(source="a", rows=tuple(rows)))
    with platform.database.write() as session:
        experiments.ensure_default(session, "guests", 1)
    with pytest.raises(Conflict, match=r"owns something still; came: keys: 1"):
        tenants.remove(platform, "guests")
    keys.revoke(platform, "guests", key.id)
    tenants.remove(platform, "guests")
    assert names(platform) == ["default"]
    with pytest.raises(NotFound):
        keys.show(platform, "guests", key.id)
    tenants.create(platform, "guests")
    assert usage.list_usage(platform, "guests", UsageAsked(), ALL).items == []
    assert [u.tokens for u in usage.list_usage(platform, "default", UsageAsked(), ALL).items] == [3]


def test_one_that_owns_something_stays(platform: Platform, tmp_path: Path) -> None:
    tenants.create(platform, "guests")
    add_model(platform, tmp_path, tenant="guests")
    add_dataset(platform, tmp_path, tenant="guests")
    add_run(platform, "guests")
    with pytest.raises(Conflict, match=r"came: models: 1, datasets: 1, runs: \d"):
        tenants.remove(platform, "guests")
    assert names(platform) == ["default", "guests"]
    with pytest.raises(Conflict, match="stays"):
        tenants.remove(platform, "default")


def test_the_last_admin_key_of_another_tenant_may_go(platform: Platform) -> None:
    tenants.create(platform, "guests")
    key = keys.create(platform, "guests", "boss", ["admin"])
    keys.revoke(platform, "guests", key.id)
