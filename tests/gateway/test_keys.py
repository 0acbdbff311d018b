import hmac
import time

import pytest

from modelyard.errors import Forbidden, Unauthorized
from modelyard.gateway.keys import Keys, require
from modelyard.types.route import KeyGrant

SECRET = "ab" * 32


def keys(**fields):
    grant = KeyGrant(id="1", tenant="t", **{"scopes": ("predict",), **fields})
    return Keys(SECRET, {hmac.digest(bytes.fromhex(SECRET), b"the-key", "sha256").hex(): grant})


@pytest.mark.parametrize("header", [b"Bearer the-key", b"bearer the-key", b"BEARER   the-key "])
def test_a_good_key_is_granted(header):
    assert keys().grant(header).tenant == "t"


@pytest.mark.parametrize(
    "header", [None, b"", b"Bearer", b"Bearer ", b"the-key", b"Basic the-key", b"Bearer the-kez"]
)
def test_anything_else_is_not(header):
    with pytest.raises(Unauthorized) as caught:
        keys().grant(header)
    assert "the-ke" not in caught.value.message


def test_expiry_is_by_the_wall_clock():
    assert keys(expires_at=time.time() + 60).grant(b"Bearer the-key")
    with pytest.raises(Unauthorized, match="expired"):
        keys(expires_at=time.time() - 1).grant(b"Bearer the-key")


@pytest.mark.parametrize(
    ("scopes", "good"), [(("predict",), True), (("admin",), True), (("metrics",), False), ((), False)]
)
def test_scopes(scopes, good):
    grant = KeyGrant(id="1", tenant="t", scopes=scopes)
    if good:
        require(grant, "predict")
    else:
        with pytest.raises(Forbidden, match="predict"):
            require(grant, "predict")
