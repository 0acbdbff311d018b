"""The platform's secret: keys are stored as their HMAC under it, and the gateway's token comes from it."""

import hmac
import os
import secrets

from modelyard.errors import Corrupt
from modelyard.home import Home

_BYTES = 32


def ensure_secret(home: Home) -> bytes:
    """The secret of `home`, made at the first start. Two that make it at once get the same one."""
    try:
        fd = os.open(home.secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_secret(home)
    with os.fdopen(fd, "w") as f:
        f.write(secrets.token_hex(_BYTES))
        f.flush()
        os.fsync(f.fileno())
    return read_secret(home)


def read_secret(home: Home) -> bytes:
    """The 32 bytes. Raises Corrupt where the file holds something else."""
    text = home.secret.read_text().strip()
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise Corrupt("secret", expected="of 32 bytes in hex", found=f"of {len(text)} characters")
    return secret


def gateway_token(secret: bytes) -> str:
    """What the gateway shows to control (hex HMAC-SHA256)."""
    return hmac.digest(secret, b"gateway", "sha256").hex()
