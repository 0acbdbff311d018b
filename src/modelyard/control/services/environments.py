"""Environments that runs and versions ask for: which there are, who needs them, and which can go."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard import environments
from modelyard.control.platform import Platform
from modelyard.control.services.pages import Page, PageRequest, slice_of
from modelyard.environments import shelf
from modelyard.environments.shelf import Shelved
from modelyard.errors import Conflict, ModelyardError, NotFound
from modelyard.store.registry import Model, ModelVersion
from modelyard.store.tables import DEFAULT_TENANT
from modelyard.store.work import Run
from modelyard.types.run import END_STATES

_log = logging.getLogger(__name__)
UNUSED_DAYS: Final = 30.0
_DAY: Final = 86400.0


@dataclass(frozen=True, kw_only=True)
class EnvironmentView:
    """`made_at` is None for one that is being built or could not be; `size` in bytes; `versions` and `runs` (those
    that have not ended) are what needs it. `installed` stands in the view of one alone."""

    digest: str
    requirements: list[str]
    python: str | None
    size: int
    seconds: float | None
    made_at: float | None
    used_at: float
    versions: list[str]
    runs: list[str]
    installed: dict[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class CollectedView:
    """What was removed, and how many bytes that freed."""

    removed: list[str]
    bytes: int


@dataclass(frozen=True, kw_only=True)
class _Users:
    """Digest -> those that need it, of one tenant to be named, and of all to be heeded."""

    versions: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    runs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    needed: set[str] = field(default_factory=set)


def list_environments(platform: Platform, tenant: str, request: PageRequest) -> Page[EnvironmentView]:
    """By digest: of the first tenant all, of another one those that it needs."""
    users = _users(platform, tenant)
    shown = [one for one in shelf.list_shelved(platform.home.environments) if _visible(tenant, one, users)]
    found, cursor = slice_of(shown, lambda one: one.digest, request)
    return Page(items=[_view(one, users) for one in found], next=cursor)


def show(platform: Platform, tenant: str, digest: str) -> EnvironmentView:
    """By the beginning of its digest. Raises NotFound, Conflict."""
    found, users = _find(platform, tenant, digest)
    return _view(found, users, whole=True)


def remove(platform: Platform, tenant: str, digest: str) -> None:
    """Raises NotFound, and Conflict where a version or a run needs it, or something runs in it."""
    found, users = _find(platform, tenant, digest)
    if found.digest in users.needed:
        names = [*users.versions[found.digest], *users.runs[found.digest]]
        raise Conflict("the environment is needed", came=", ".join(names[:5]) or "by another tenant")
    shelf.remove(platform.home.environments, found.digest)


def collect(platform: Platform, days: float = UNUSED_DAYS) -> CollectedView:
    """Remove those that nothing needs and nobody asked for in so many days."""
    before = platform.now() - days * _DAY
    old = [one for one in shelf.list_shelved(platform.home.environments) if one.used_at <= before]
    needed = _users(platform, None).needed if old else set()
    removed = [one for one in old if one.digest not in needed and _remove(platform, one)]
    return CollectedView(removed=[one.digest for one in removed], bytes=sum(map(_size, removed)))


def _find(platform: Platform, tenant: str, digest: str) -> tuple[Shelved, _Users]:
    """Raises NotFound, Conflict."""
    found, users = shelf.find(platform.home.environments, digest), _users(platform, tenant)
    if not _visible(tenant, found, users):
        raise NotFound("no such environment", came=digest)
    return found, users


def _visible(tenant: str, one: Shelved, users: _Users) -> bool:
    return tenant == DEFAULT_TENANT or one.digest in users.versions or one.digest in users.runs


def _remove(platform: Platform, one: Shelved) -> bool:
    try:
        shelf.remove(platform.home.environments, one.digest)
    except Conflict:
        return False  # something runs in it
    except OSError as error:
        _log.error("the environment %s cannot be removed: %s", one.digest[:12], error)
        return False
    return True


def _users(platform: Platform, tenant: str | None) -> _Users:
    users = _Users()
    with platform.database.read() as session:
        for owner, digest, name in (*_versions(session), *_runs(session)):
            users.needed.add(digest)
            if owner == tenant:
                (users.versions if ":" in name else users.runs)[digest].append(name)
    return users


def _versions(session: Session) -> Iterable[tuple[str, str, str]]:
    digest = ModelVersion.manifest["requirements"].as_string()
    query = select(ModelVersion.tenant, digest, Model.name, ModelVersion.number).join(
        Model, Model.id == ModelVersion.model_id
    )
    rows = session.execute(query.where(digest.is_not(None)).order_by(Model.name, ModelVersion.number))
    return [(owner, found, f"{name}:{number}") for owner, found, name, number in rows]


def _runs(session: Session) -> Iterable[tuple[str, str, str]]:
    query = select(Run.tenant, Run.params, Run.id).where(Run.state.not_in(END_STATES)).order_by(Run.id)
    for owner, params, run in session.execute(query):
        text = params.get("requirements")
        if isinstance(text, str) and text.strip():
            try:
                yield owner, environments.digest(text), run
            except ModelyardError:
                continue  # it will fail by itself


def _view(one: Shelved, users: _Users, *, whole: bool = False) -> EnvironmentView:
    made = one.made
    return EnvironmentView(
        digest=one.digest,
        requirements=list(made.lines) if made else one.text.splitlines(),
        python=made.python if made else None,
        size=_size(one),
        seconds=made.seconds if made else None,
        made_at=made.made_at if made else None,
        used_at=one.used_at,
        versions=users.versions.get(one.digest, []),
        runs=users.runs.get(one.digest, []),
        installed=made.installed if made and whole else None,
    )


def _size(one: Shelved) -> int:
    return one.made.size if one.made else 0
