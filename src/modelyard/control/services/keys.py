"""API keys: 256 bits, shown once, kept as their HMAC-SHA256 under the home's secret."""

import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.names import known_id
from modelyard.control.services.pages import Page, PageRequest, fetch, page_of
from modelyard.errors import Conflict, InvalidInput, NotFound, Unauthorized
from modelyard.store.tables import DEFAULT_TENANT, Key
from modelyard.store.usage import used_on
from modelyard.types.ids import new_id
from modelyard.types.route import KeyGrant
from modelyard.types.usage import day_of

SCOPES: Final = ("admin", "track", "predict", "metrics")
_PREFIX: Final = "yard_"
_NOT_KEPT: Final = ("key", "used_today")
_LONGEST: Final = 200  # characters of a key that is worth hashing
_LONGEST_LIFE: Final = 100 * 365 * 24 * 3600.0
_MOST_TOKENS: Final = 10**15  # of a budget


@dataclass(frozen=True, kw_only=True)
class KeyView:
    """`key` is the key itself where it was just made, and None ever after. `budget`: tokens that it may use in a
    day (UTC), None: as many as it likes; `used_today`: those that it has used, as control has heard."""

    id: str
    name: str
    scopes: list[str]
    last4: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    budget: int | None
    used_today: int
    key: str | None = None


def new_key() -> str:
    """A key nobody knows yet."""
    return _PREFIX + secrets.token_urlsafe(32)


def create(platform: Platform, tenant: str, name: str, scopes: list[str],
           expires_in: float | None = None, *, budget: int | None = None,
           key: str | None = None) -> KeyView:  # fmt: skip
    """Make a key that is good for `scopes`, for `expires_in` seconds, and for `budget` tokens a day. Raises
    InvalidInput."""
    _check(name, scopes, expires_in)
    _check_budget(budget)
    key = key or new_key()
    now = platform.now()
    row = Key(
        id=new_id("key"),
        tenant=tenant,
        name=name,
        hash=hash_of(platform, key),
        last4=key[-4:],
        scopes=[s for s in SCOPES if s in scopes],
        created_at=now,
        expires_at=None if expires_in is None else now + expires_in,
        revoked_at=None,
        budget=budget,
    )
    with platform.database.write() as session:
        session.add(row)
    platform.changes.tell()
    return _view(row, key=key)


def authenticate(platform: Platform, key: str) -> KeyGrant:
    """What a key may do. Raises Unauthorized for a key that is unknown, revoked or expired, and says no
    more."""
    found = hash_of(platform, key[:_LONGEST])
    with platform.database.read() as session:
        row = session.scalar(select(Key).where(Key.hash == found))
    good = row is not None and hmac.compare_digest(row.hash, found) and _alive(row, platform.now())
    if row is None or not good:
        raise Unauthorized("this key is not good; make one with: yard keys create")
    return _grant(row)


def list_keys(platform: Platform, tenant: str, request: PageRequest) -> Page[KeyView]:
    """All keys, the newest first, without the keys themselves."""
    with platform.database.read() as session:
        rows, cursor = fetch(
            session, select(Key).where(Key.tenant == tenant), Key.id, request, descending=True
        )
        used = used_on(session, day_of(platform.now()), [row.id for row in rows])
        return page_of(rows, cursor, lambda row: _view(row, used.get(row.id, 0)))


def show(platform: Platform, tenant: str, key_id: str) -> KeyView:
    """Raises NotFound."""
    with platform.database.read() as session:
        row = _get(session, tenant, key_id)
        return _view(row, used_on(session, day_of(platform.now()), [row.id]).get(row.id, 0))


def change(platform: Platform, tenant: str, key_id: str, budget: int | None) -> KeyView:
    """Give a key another budget, for today too; None: none. Raises NotFound, InvalidInput."""
    _check_budget(budget)
    with platform.database.write() as session:
        _get(session, tenant, key_id).budget = budget
    platform.changes.tell()
    return show(platform, tenant, key_id)


def revoke(platform: Platform, tenant: str, key_id: str) -> None:
    """Make a key useless from now on. Raises NotFound, and Conflict for the last key that may do everything on the
    platform: who has a key of the first tenant can make keys of the others."""
    now = platform.now()
    with platform.database.write() as session:
        row = _get(session, tenant, key_id)
        last = "admin" in row.scopes and _alive(row, now) and not _other_admin(session, row, now)
        if last and tenant == DEFAULT_TENANT:
            raise Conflict("this is the last key with the scope admin; make another one first")
        row.revoked_at = row.revoked_at or now
    platform.changes.tell()


def any_key(session: Session) -> bool:
    """Whether a key was ever made."""
    return bool(session.scalar(select(func.count()).select_from(Key)))


def grants(platform: Platform, session: Session) -> dict[str, KeyGrant]:
    """Hash -> grant of the keys that are good now."""
    now = platform.now()
    rows = session.scalars(select(Key).where(alive(now)).order_by(Key.id))
    used = used_on(session, day_of(now), select(Key.id).where(Key.budget.is_not(None)))
    return {row.hash: _grant(row, day_of(now), used.get(row.id, 0)) for row in rows}


def _check(name: str, scopes: list[str], expires_in: float | None) -> None:
    if not 0 < len(name) <= 100 or not name.isprintable():
        raise InvalidInput("a key needs a name", came=name, allowed="1 to 100 printable characters")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidInput("scopes of a key", came=scopes, allowed=SCOPES)
    if expires_in is not None and not 0 < expires_in <= _LONGEST_LIFE:
        raise InvalidInput("expires_in", came=expires_in, allowed="seconds, more than 0, at most 100 years")


def _check_budget(budget: int | None) -> None:
    if budget is not None and not 0 < budget <= _MOST_TOKENS:
        raise InvalidInput("budget", came=budget, allowed=f"tokens a day, 1 to {_MOST_TOKENS:,}, or none")


def alive(now: float) -> ColumnElement[bool]:
    """Keys that are good at this time."""
    return Key.revoked_at.is_(None) & or_(Key.expires_at.is_(None), Key.expires_at > now)


def hash_of(platform: Platform, key: str) -> str:
    """What is kept of a key, and what the gateway knows it by."""
    return hmac.digest(platform.secret, key.encode(), "sha256").hex()


def _alive(row: Key, now: float) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def _other_admin(session: Session, row: Key, now: float) -> bool:
    others = session.scalars(select(Key).where(Key.tenant == row.tenant, Key.id != row.id))
    return any("admin" in other.scopes and _alive(other, now) for other in others)


def _get(session: Session, tenant: str, key_id: str) -> Key:
    row = session.get(Key, known_id("key", key_id))
    if row is None or row.tenant != tenant:
        raise NotFound("there is no such key")
    return row


def _grant(row: Key, day: int = 0, used: int = 0) -> KeyGrant:
    return KeyGrant(
        id=row.id,
        tenant=row.tenant,
        scopes=tuple(row.scopes),
        expires_at=row.expires_at,
        budget=row.budget,
        used=used,
        day=day if row.budget is not None else 0,
    )


def _view(row: Key, used: int = 0, key: str | None = None) -> KeyView:
    fields: dict[str, Any] = {
        name: getattr(row, name) for name in KeyView.__dataclass_fields__ if name not in _NOT_KEPT
    }
    return KeyView(**fields, used_today=used, key=key)
