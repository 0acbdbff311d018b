"""A request that is sent again is answered as the first time: the same key makes one run or one
deployment."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import delete
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.errors import Conflict, InvalidInput
from modelyard.files import sha256_bytes
from modelyard.store.tables import Idempotency

KEPT_SECONDS: Final = 24 * 3600.0
_LONGEST_KEY: Final = 255


@dataclass(frozen=True, kw_only=True)
class Once:
    """A request's Idempotency-Key with the hash of what was asked."""

    key: str
    request_hash: str


def read_once(key: str | None, path: str, body: dict[str, Any]) -> Once | None:
    """None where no key came. Raises InvalidInput for a key that is too long or not printable ASCII."""
    if key is None:
        return None
    if not 0 < len(key) <= _LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput("Idempotency-Key", came=key, allowed=f"1 to {_LONGEST_KEY} printable characters")
    asked = msgspec.json.encode([path, body], order="sorted")
    return Once(key=key, request_hash=sha256_bytes(asked))


def made_before(session: Session, tenant: str, once: Once | None) -> str | None:
    """The id of what the first request made. Raises Conflict where that one asked for something else."""
    if once is None:
        return None
    row = session.get(Idempotency, (tenant, once.key))
    if row is None:
        return None
    if row.request_hash != once.request_hash:
        raise Conflict("this Idempotency-Key was used for another request")
    return row.made


def remember(session: Session, tenant: str, once: Once | None, made: str, now: float) -> None:
    """Note what was made, in the transaction that makes it."""
    if once is not None:
        session.add(
            Idempotency(
                tenant=tenant, key=once.key, request_hash=once.request_hash, made=made, created_at=now
            )
        )


def forget_old(platform: Platform) -> None:
    """Remove keys of requests that nobody sends again."""
    with platform.database.write() as session:
        old = Idempotency.created_at < platform.now() - KEPT_SECONDS
        session.execute(delete(Idempotency).where(old))
