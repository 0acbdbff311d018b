"""Who calls: bearer keys against the hashes of the snapshot (HMAC-SHA256, RFC 2104)."""

import hmac
import time
from collections.abc import Mapping

from modelyard.errors import Forbidden, Unauthorized
from modelyard.types.route import KeyGrant

_BEARER = b"bearer "


class Keys:
    """The keys of one snapshot. The keys themselves are never here, only their hashes."""

    def __init__(self, secret: str, grants: Mapping[str, KeyGrant]) -> None:
        self._secret = bytes.fromhex(secret)
        self._grants = {digest: (digest, grant) for digest, grant in grants.items()}

    def grant(self, authorization: bytes | None) -> KeyGrant:
        """What the caller of this Authorization header may do.

        Raises:
            Unauthorized: no key, an unknown one, or one that has expired.
        """
        if authorization is None or authorization[:7].lower() != _BEARER:
            raise Unauthorized("no API key", allowed="Authorization: Bearer KEY")
        digest = hmac.digest(self._secret, authorization[7:].strip(), "sha256").hex()
        # The look-up tells nothing of a key: without the secret nobody can choose what its hash begins with.
        known, grant = self._grants.get(digest, ("", None))
        if grant is None or not hmac.compare_digest(known, digest):
            raise Unauthorized("the API key is not known")
        if grant.expires_at is not None and grant.expires_at <= time.time():
            raise Unauthorized("the API key has expired")
        return grant


def require(grant: KeyGrant, scope: str) -> None:
    """Raises Forbidden where the key has neither this scope nor admin."""
    if scope not in grant.scopes and "admin" not in grant.scopes:
        raise Forbidden("the API key may not do this", came=", ".join(grant.scopes), allowed=f"scope {scope}")
