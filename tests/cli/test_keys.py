"""`yard keys`, against a real platform."""

import pytest

from stocked import Stocked

pytestmark = pytest.mark.slow  # real processes


def test_a_list_says_which_keys_are_good(stocked: Stocked) -> None:
    kept = stocked.json("keys", "create", "kept", "--scope", "metrics", "--expires-in", "2h")
    gone = stocked.json("keys", "create", "gone")
    stocked.yard("keys", "revoke", gone["id"])
    lines = {line.split()[0]: line for line in stocked.yard("keys", "list").splitlines() if "key_" in line}
    assert "good until 20" in lines[kept["id"]]
    assert "revoked " in lines[gone["id"]]
    assert kept["key"] not in "".join(lines.values())
