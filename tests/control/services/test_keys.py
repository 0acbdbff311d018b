import dataclasses

import pytest

from control_seed import add_tenant, admin_key
from modelyard.control.bootstrap import ensure_first_key
from modelyard.control.platform import Platform
from modelyard.control.services import keys
from modelyard.control.services.pages import PageRequest
from modelyard.errors import Conflict, InvalidInput, NotFound, Unauthorized

ALL = PageRequest(limit=500, cursor=None, secret=b"x")


def test_a_key_is_good_and_kept_as_a_hash_alone(platform: Platform) -> None:
    made = keys.create(platform, "default", "laptop", ["predict", "metrics"])
    assert made.key is not None
    assert made.key.startswith("yard_")
    assert len(made.key) == len("yard_") + 43, "256 bits in base64"
    assert made.last4 == made.key[-4:]
    grant = keys.authenticate(platform, made.key)
    assert (grant.tenant, grant.scopes) == ("default", ("predict", "metrics"))
    assert made.key.encode() not in platform.home.database.read_bytes()
    assert keys.show(platform, "default", made.id).key is None


def test_no_key_is_like_another(platform: Platform) -> None:
    assert len({keys.new_key() for _ in range(100)}) == 100


@pytest.mark.parametrize("key", ["", "yard_", "yard_" + "A" * 43, "x" * 100_000, "é", "\0"])
def test_a_key_that_nobody_made(platform: Platform, key: str) -> None:
    with pytest.raises(Unauthorized, match="not good"):
        keys.authenticate(platform, key)


def test_a_key_is_good_until_it_expires(platform: Platform) -> None:
    now = 1000.0
    clocked = dataclasses.replace(platform, now=lambda: now)
    key = admin_key(clocked, expires_in=10)
    assert keys.authenticate(clocked, key).expires_at == 1010.0
    now = 1010.0
    with pytest.raises(Unauthorized):
        keys.authenticate(clocked, key)


def test_a_revoked_key_is_not_good_and_no_longer_sent_to_the_gateway(platform: Platform) -> None:
    made = keys.create(platform, "default", "laptop", ["predict"])
    assert made.key is not None
    keys.revoke(platform, "default", made.id)
    keys.revoke(platform, "default", made.id)
    with pytest.raises(Unauthorized):
        keys.authenticate(platform, made.key)
    with platform.database.read() as session:
        assert made.id not in {g.id for g in keys.grants(platform, session).values()}


def test_the_last_admin_key_stays(platform: Platform) -> None:
    (first,) = keys.list_keys(platform, "default", ALL).items
    with pytest.raises(Conflict, match="last key"):
        keys.revoke(platform, "default", first.id)
    admin_key(platform)
    keys.revoke(platform, "default", first.id)


@pytest.mark.parametrize(
    ("name", "scopes", "expires"),
    [("", ["admin"], None), ("a\0", ["admin"], None), ("a", [], None), ("a", ["root"], None), ("a", ["admin"], 0),
     ("a", ["admin"], -1), ("a", ["admin"], 1e12), ("a", ["admin"], float("nan"))],
)  # fmt: skip
def test_what_is_no_key(platform: Platform, name: str, scopes: list[str], expires: float | None) -> None:
    with pytest.raises(InvalidInput):
        keys.create(platform, "default", name, scopes, expires)


def test_keys_of_another_tenant_are_not_there(platform: Platform) -> None:
    add_tenant(platform, "other")
    key = admin_key(platform, "other")
    (theirs,) = keys.list_keys(platform, "other", ALL).items
    assert keys.authenticate(platform, key).tenant == "other"
    with pytest.raises(NotFound):
        keys.revoke(platform, "default", theirs.id)


def test_the_first_key_is_made_once(platform: Platform) -> None:
    before = platform.home.credentials.read_bytes()
    assert platform.home.credentials.stat().st_mode & 0o777 == 0o600
    ensure_first_key(platform)
    assert platform.home.credentials.read_bytes() == before
    assert len(keys.list_keys(platform, "default", ALL).items) == 1
