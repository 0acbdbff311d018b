"""The secret and what is made of it."""

import hashlib
import hmac
import stat

import pytest

from modelyard.cluster.platform import own_specs, read_config, write_config
from modelyard.cluster.secret import ensure_secret, gateway_token
from modelyard.errors import Corrupt, InvalidInput
from modelyard.home import Home
from modelyard.types.process import PlatformConfig


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_the_secret_is_made_once_and_is_its_owners(home):
    secret = ensure_secret(home)
    assert len(secret) == 32
    assert ensure_secret(home) == secret
    assert stat.S_IMODE(home.secret.stat().st_mode) == 0o600
    assert bytes.fromhex(home.secret.read_text()) == secret


@pytest.mark.parametrize("text", ["", "zz", "00" * 31])
def test_a_damaged_secret_is_refused(home, text):
    home.secret.write_text(text)
    with pytest.raises(Corrupt):
        ensure_secret(home)


def test_the_gateway_gets_its_token_and_nothing_else_of_the_secret(home):
    control, gateway = own_specs(home, PlatformConfig(port=1, control_port=2))
    secret = ensure_secret(home)
    token = hmac.new(secret, b"gateway", hashlib.sha256).hexdigest()
    assert gateway.env == {"YARD_GATEWAY_TOKEN": token}
    assert gateway_token(secret) == token
    assert secret.hex() not in " ".join(gateway.argv)
    assert "http://127.0.0.1:2" in gateway.argv
    assert control.env == {}


def test_configuration_is_kept_and_a_damaged_one_is_an_error(home):
    assert read_config(home) == PlatformConfig()
    write_config(home, PlatformConfig(port=9))
    assert read_config(home).port == 9
    home.config.write_text("{")
    with pytest.raises(InvalidInput, match=r"config\.json"):
        read_config(home)
