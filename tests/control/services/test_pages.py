import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_seed import add_run, add_tenant
from modelyard.control.platform import Platform
from modelyard.control.services import runs
from modelyard.control.services.pages import PageRequest
from modelyard.errors import InvalidInput

FIRST = PageRequest(limit=3, cursor=None, secret=b"secret")


def test_pages_hold_everything_once_and_in_order(platform: Platform) -> None:
    add_tenant(platform, "other")
    made = [add_run(platform) for _ in range(7)]
    add_run(platform, "other")
    seen, request = [], FIRST
    while True:
        page = runs.list_runs(platform, "default", request)
        seen.append([r.id for r in page.items])
        if page.next is None:
            break
        request = dataclasses.replace(request, cursor=page.next)
    assert [len(ids) for ids in seen] == [3, 3, 1]
    assert [i for ids in seen for i in ids] == sorted(made, reverse=True)


def test_a_cursor_of_another_platform(platform: Platform) -> None:
    for _ in range(4):
        add_run(platform)
    cursor = runs.list_runs(platform, "default", FIRST).next
    forged = PageRequest(limit=3, cursor=cursor, secret=b"another")
    with pytest.raises(InvalidInput, match="cursor"):
        runs.list_runs(platform, "default", forged)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cursor=st.one_of(st.text(), st.binary().map(lambda b: b.hex())))
def test_a_forged_cursor(platform: Platform, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        runs.list_runs(platform, "default", dataclasses.replace(FIRST, cursor=cursor))
