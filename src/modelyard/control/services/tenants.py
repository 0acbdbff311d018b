"""Tenants: whose keys, models, deployments and usage are whose. The first one, `default`, manages the others."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Table, delete, func, select, true
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.keys import alive
from modelyard.control.services.names import check_name, is_name
from modelyard.control.services.pages import Page, PageRequest, fetch, page_of
from modelyard.errors import Conflict, NotFound
from modelyard.store.tables import DEFAULT_TENANT, Base, Tenant
from modelyard.store.tracking import Experiment

_GO_ALONG: Final = frozenset({"usage", "idempotency", "blobs"})
"""Tables whose rows nobody owns: a tenant goes with them. A blob that something needs has a link."""
_NOUNS: Final = ("keys", "deployments", "models", "datasets", "runs", "api_files", "uploads", "experiments")
_MOST_NAMED: Final = 5


@dataclass(frozen=True, kw_only=True)
class TenantView:
    name: str
    created_at: float


def create(platform: Platform, name: str) -> TenantView:
    """Raises InvalidInput for what is no name, Conflict for one that is taken."""
    check_name("tenant", name)
    with platform.database.write() as session:
        if session.get(Tenant, name) is not None:
            raise Conflict(f"there is a tenant {name!r} already")
        row = Tenant(id=name, created_at=platform.now())
        session.add(row)
    return _view(row)


def list_tenants(platform: Platform, request: PageRequest) -> Page[TenantView]:
    with platform.database.read() as session:
        rows, cursor = fetch(session, select(Tenant), Tenant.id, request)
        return page_of(rows, cursor, _view)


def known(platform: Platform, name: str) -> str:
    """The name of a tenant that is there. Raises NotFound."""
    with platform.database.read() as session:
        return _get(session, name).id


def remove(platform: Platform, name: str) -> None:
    """Forget a tenant that owns nothing; its keys that open nothing any more, and its usage, go along. Raises
    NotFound, and Conflict for the first tenant and for one that owns something."""
    with platform.database.write() as session:
        row = _get(session, name)
        if name == DEFAULT_TENANT:
            raise Conflict(f"the tenant {name!r} manages the others and stays")
        if owned := _owned(session, name, platform.now()):
            said = ", ".join(f"{what}: {count:,}" for what, count in owned[:_MOST_NAMED])
            raise Conflict(f"the tenant {name!r} owns something still", came=said, allowed="nothing")
        for table in reversed(_tables()):
            session.execute(delete(table).where(table.c.tenant == name))
        session.delete(row)
    platform.changes.tell()


def _owned(session: Session, tenant: str, now: float) -> list[tuple[str, int]]:
    """What it owns and how much of it; what people know by name comes first."""
    found = []
    for table in _tables():
        if table.name not in _GO_ALONG:
            mine = select(func.count()).select_from(table).where(table.c.tenant == tenant)
            if count := session.scalar(mine.where(_counts(table, now))):
                found.append((table.name, count))
    order = {name: place for place, name in enumerate(_NOUNS)}
    found.sort(key=lambda pair: (order.get(pair[0], len(order)), pair[0]))
    return [(name.removeprefix("api_").replace("_", " "), count) for name, count in found]


def _counts(table: Table, now: float) -> ColumnElement[bool]:
    if table.name == "keys":
        return alive(now)
    if table.name == "experiments":
        return Experiment.number != 0  # that one is made for everybody
    return true()


def _tables() -> list[Table]:
    """Those whose rows belong to tenants; a table that others refer to comes before them."""
    return [table for table in Base.metadata.sorted_tables if "tenant" in table.c]


def _get(session: Session, name: str) -> Tenant:
    row = session.get(Tenant, name) if is_name(name) else None
    if row is None:
        raise NotFound("there is no such tenant")
    return row


def _view(row: Tenant) -> TenantView:
    return TenantView(name=row.id, created_at=row.created_at)
