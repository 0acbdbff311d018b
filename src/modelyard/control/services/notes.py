"""Tags and parameters of what clients track."""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from modelyard.errors import InvalidInput
from modelyard.store.tracking import Note

_PART: Final = 500  # owners in one statement
LONGEST_KEY: Final = 250


def put(session: Session, tenant: str, kind: str, owner: str, notes: Mapping[str, str]) -> None:
    """Write over what is there."""
    if not notes:
        return
    mine = Note.tenant == tenant, Note.kind == kind, Note.owner == owner
    session.execute(delete(Note).where(*mine, Note.key.in_(list(notes))))
    rows = [{"tenant": tenant, "kind": kind, "owner": owner, "key": k, "value": v} for k, v in notes.items()]
    session.execute(insert(Note), rows)


def read(session: Session, tenant: str, kind: str, owners: Iterable[str]) -> dict[str, dict[str, str]]:
    """Owner -> its notes, in the order of their keys; every owner has an entry."""
    found: dict[str, dict[str, str]] = {owner: {} for owner in owners}
    names = list(found)
    for start in range(0, len(names), _PART):
        part = names[start : start + _PART]
        query = select(Note.owner, Note.key, Note.value).where(
            Note.tenant == tenant, Note.kind == kind, Note.owner.in_(part)
        )
        for owner, key, value in session.execute(query.order_by(Note.owner, Note.key)):
            found[owner][key] = value
    return found


def read_one(session: Session, tenant: str, kind: str, owner: str) -> dict[str, str]:
    return read(session, tenant, kind, [owner])[owner]


def remove(session: Session, tenant: str, kind: str, owner: str, key: str | None = None) -> bool:
    """One note, or all of them; whether there was any."""
    query = delete(Note).where(Note.tenant == tenant, Note.kind == kind, Note.owner == owner)
    if key is not None:
        query = query.where(Note.key == key)
    return bool(session.execute(query).rowcount)  # type: ignore[attr-defined]


def check(what: str, notes: Mapping[str, str], longest_value: int) -> None:
    """Raises InvalidInput for a key or a value that is too long or cannot be stored."""
    for key, value in notes.items():
        check_key(what, key)
        if len(value) > longest_value:
            raise InvalidInput(f"{what} {key!r} has too long a value", came=f"{len(value)} characters",
                               allowed=f"{longest_value} characters")  # fmt: skip
        check_text(f"{what} {key!r}", value)


def check_key(what: str, key: str) -> None:
    """Raises InvalidInput."""
    if not key.strip() or len(key) > LONGEST_KEY:
        raise InvalidInput(f"the name of a {what}", came=key, allowed=f"1 to {LONGEST_KEY} characters")
    check_text(f"the name of a {what}", key)


def check_text(what: str, text: str) -> None:
    """Raises InvalidInput for what no database stores: NUL and halves of surrogate pairs."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise InvalidInput(f"{what} holds a character that cannot be stored", came=ascii(text))
