"""Experiments: names under which clients put their runs."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.notes import check_text
from modelyard.errors import Conflict, InvalidInput, NotFound
from modelyard.store.tracking import ACTIVE, DELETED, Experiment

DEFAULT_NAME = "Default"
_LONGEST_NAME = 500


def ensure_default(session: Session, tenant: str, now_ms: int) -> None:
    """Experiment 0 is always there."""
    if session.get(Experiment, (tenant, 0)) is None:
        session.add(_row(tenant, 0, DEFAULT_NAME, now_ms))
        session.flush()


def create(session: Session, tenant: str, name: str, now_ms: int) -> Experiment:
    """Raises InvalidInput for a name that cannot be one, Conflict for one that is taken."""
    _check_name(name)
    ensure_default(session, tenant, now_ms)
    if find(session, tenant, name) is not None:
        raise Conflict(f"there is an experiment {name!r} already")
    last = session.scalar(select(func.max(Experiment.number)).where(Experiment.tenant == tenant)) or 0
    row = _row(tenant, last + 1, name, now_ms)
    session.add(row)
    session.flush()
    return row


def get_or_create(session: Session, tenant: str, name: str, now_ms: int) -> Experiment:
    """Raises InvalidInput, and Conflict for one that was deleted."""
    ensure_default(session, tenant, now_ms)
    row = find(session, tenant, name)
    return create(session, tenant, name, now_ms) if row is None else check_active(row)


def find(session: Session, tenant: str, name: str) -> Experiment | None:
    return session.scalar(select(Experiment).where(Experiment.tenant == tenant, Experiment.name == name))


def get(session: Session, tenant: str, number: str) -> Experiment:
    """Raises NotFound."""
    good = number.isascii() and number.isdigit() and len(number) < 10
    row = session.get(Experiment, (tenant, int(number))) if good else None
    if row is None:
        raise NotFound(f"there is no experiment {number[:80]!r}")
    return row


def rename(session: Session, row: Experiment, name: str, now_ms: int) -> None:
    """Raises InvalidInput and Conflict."""
    _check_name(name)
    there = find(session, row.tenant, name)
    if there is not None and there.number != row.number:
        raise Conflict(f"there is an experiment {name!r} already")
    check_active(row)
    row.name, row.updated_ms = name, now_ms


def put_away(row: Experiment, deleted: bool, now_ms: int) -> None:
    """Delete, or bring back. Raises NotFound for what is in that state already, InvalidInput for experiment 0."""
    wanted = DELETED if deleted else ACTIVE
    if deleted and row.number == 0:
        raise InvalidInput("the default experiment stays", came=row.name)
    if row.state == wanted:
        raise NotFound(f"experiment {row.number} is {row.state} already")
    row.state, row.updated_ms = wanted, now_ms


def check_active(row: Experiment) -> Experiment:
    """Raises Conflict."""
    if row.state != ACTIVE:
        raise Conflict(f"the experiment {row.name!r} was deleted; restore it, or take another name")
    return row


def now_ms(platform: Platform) -> int:
    return int(platform.now() * 1000)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidInput("the name of an experiment", came=name, allowed=f"1 to {_LONGEST_NAME} characters")
    check_text("the name of an experiment", name)


def _row(tenant: str, number: int, name: str, now_ms: int) -> Experiment:
    return Experiment(
        tenant=tenant, number=number, name=name, state=ACTIVE, created_ms=now_ms, updated_ms=now_ms
    )
