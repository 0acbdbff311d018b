"""Files that runs and logged models have: by path in them, the bytes as blobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, delete, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from modelyard.control.platform import Platform
from modelyard.control.services.files import StoredFile
from modelyard.control.services.quota import room
from modelyard.errors import Busy, InvalidInput, NotFound
from modelyard.store.blobs import BlobWriter
from modelyard.store.links import link
from modelyard.store.tables import BlobLink
from modelyard.store.tracking import LoggedFile, LoggedModel
from modelyard.store.work import Run, RunArtifact
from modelyard.types.package import FileEntry

_LONGEST_PATH: Final = 1000
_LONGEST_SEGMENT: Final = 255
_MOST_FILES: Final = 100_000  # of one run

File = RunArtifact | LoggedFile


@dataclass(frozen=True, kw_only=True)
class ArtifactView:
    """`size` in bytes; None of a folder."""

    path: str
    is_dir: bool
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The files of one run or one logged model."""

    tenant: str
    owner_id: str
    table: type[RunArtifact] | type[LoggedFile]

    @property
    def link_owner(self) -> str:
        return f"artifacts/{self.owner_id}"

    @property
    def mine(self) -> ColumnElement[bool]:
        column: InstrumentedAttribute[str] = (
            self.table.run_id if self.table is RunArtifact else self.table.model_id  # type: ignore[union-attr]
        )
        return column == self.owner_id

    def rows(self, session: Session, condition: ColumnElement[bool]) -> Sequence[File]:
        if self.table is RunArtifact:
            return session.scalars(select(RunArtifact).where(self.mine, condition)).all()
        return session.scalars(select(LoggedFile).where(self.mine, condition)).all()

    def row(self, path: str, entry: FileEntry, now: float) -> File:
        if self.table is RunArtifact:
            return RunArtifact(tenant=self.tenant, run_id=self.owner_id, path=path, sha256=entry.sha256,
                               size=entry.size, created_at=now)  # fmt: skip
        return LoggedFile(tenant=self.tenant, model_id=self.owner_id, path=path, sha256=entry.sha256,
                          size=entry.size, created_at=now)  # fmt: skip


def shelf_of(owner: Run | LoggedModel) -> Shelf:
    table: type[RunArtifact] | type[LoggedFile] = RunArtifact if isinstance(owner, Run) else LoggedFile
    return Shelf(tenant=owner.tenant, owner_id=owner.id, table=table)


def publish(session: Session, run: Run, files: Mapping[str, FileEntry], now: float) -> None:
    """Give a run the files, whose bytes are blobs already. Raises InvalidInput and Busy."""
    shelf = shelf_of(run)
    for path, entry in files.items():
        put(session, shelf, path, entry, now)


def begin(platform: Platform, tenant: str, path: str, size: int | None) -> BlobWriter:
    """A writer for a file's bytes; it is nobody's before `put`. Raises as `check_path` and `quota.room`."""
    check_path(path)
    return platform.blobs.writer(room(platform, tenant, size))


def put(session: Session, shelf: Shelf, path: str, entry: FileEntry, now: float) -> None:
    """Keep a file in the place of the one of that path. Raises InvalidInput for a path that is a folder, or below
    a file."""
    check_path(path)
    _check_place(session, shelf, path)
    there = shelf.rows(session, shelf.table.path == path)
    if not there:
        _check_count(session, shelf)
        session.add(shelf.row(path, entry, now))
        session.flush()
    else:
        old = there[0]
        before, old.sha256, old.size, old.created_at = old.sha256, entry.sha256, entry.size, now
        session.flush()
        _drop_link(session, shelf, before)
    link(session, shelf.tenant, shelf.link_owner, [entry], now)


def find(session: Session, shelf: Shelf, path: str) -> FileEntry:
    """Raises NotFound."""
    rows = shelf.rows(session, shelf.table.path == path)
    if not rows:
        raise NotFound("there is no such artifact", came=path)
    return FileEntry(sha256=rows[0].sha256, size=rows[0].size)


def stored(platform: Platform, session: Session, shelf: Shelf, path: str) -> StoredFile:
    """A file as clients download it. Raises NotFound."""
    entry = find(session, shelf, path)
    return StoredFile(name=path.rpartition("/")[2], path=platform.blobs.path(entry.sha256), entry=entry)


def listing(session: Session, shelf: Shelf, folder: str) -> list[ArtifactView]:
    """What lies in a folder ("" is the whole): files and folders, by name. Empty for what is no folder."""
    found: dict[str, ArtifactView] = {}
    for path, entry in tree(session, shelf, folder).items():
        name, deeper, _ = path.partition("/")
        whole = f"{folder}/{name}" if folder else name
        size = None if deeper else entry.size
        found[name] = ArtifactView(path=whole, is_dir=bool(deeper), size=size)
    return [found[name] for name in sorted(found)]


def tree(session: Session, shelf: Shelf, folder: str) -> dict[str, FileEntry]:
    """Every file below a folder, by its path from there."""
    query = select(shelf.table.path, shelf.table.sha256, shelf.table.size).where(shelf.mine)
    if folder:
        query = query.where(shelf.table.path.startswith(f"{folder}/", autoescape=True))
    start = len(folder) + 1 if folder else 0
    rows = session.execute(query.order_by(shelf.table.path))
    return {path[start:]: FileEntry(sha256=sha256, size=size) for path, sha256, size in rows}


def remove(session: Session, shelf: Shelf, path: str) -> bool:
    """A file, or a folder with all in it; whether there was any."""
    below = shelf.table.path.startswith(f"{path}/", autoescape=True)
    rows = shelf.rows(session, or_(shelf.table.path == path, below))
    digests = {row.sha256 for row in rows}
    for row in rows:
        session.delete(row)
    session.flush()
    for digest in digests:
        _drop_link(session, shelf, digest)
    return bool(rows)


def check_path(path: str) -> str:
    """The path, where a file may have it. Raises InvalidInput for what leaves the folder or cannot be a name."""
    segments = path.split("/")
    if not 0 < len(path) <= _LONGEST_PATH or not all(_is_name(s) for s in segments):
        allowed = "names with / between them, without '..', '\\' and what cannot be printed"
        raise InvalidInput("the path of an artifact", came=ascii(path), allowed=allowed)
    return path


def _is_name(segment: str) -> bool:
    return (
        segment not in ("", ".", "..")
        and "\\" not in segment
        and segment.isprintable()
        and not any("\ud800" <= c <= "\udfff" for c in segment)
        and len(segment.encode()) <= _LONGEST_SEGMENT
    )


def _check_place(session: Session, shelf: Shelf, path: str) -> None:
    parts = path.split("/")
    above = ["/".join(parts[:n]) for n in range(1, len(parts))]
    table = shelf.table
    clash = or_(table.path.in_(above), table.path.startswith(f"{path}/", autoescape=True))
    other = session.scalar(select(table.path).where(shelf.mine, clash).limit(1))
    if other is not None:
        raise InvalidInput("an artifact cannot be both a file and a folder", came=path, allowed=other)


def _check_count(session: Session, shelf: Shelf) -> None:
    count = session.scalar(select(func.count()).select_from(shelf.table).where(shelf.mine)) or 0
    if count >= _MOST_FILES:
        raise Busy("a run holds no more artifacts", allowed=_MOST_FILES)


def _drop_link(session: Session, shelf: Shelf, digest: str) -> None:
    """Unless another path of the owner has the same bytes."""
    still = exists().where(shelf.mine, shelf.table.sha256 == digest)
    if session.scalar(select(still)):
        return
    session.execute(
        delete(BlobLink).where(
            BlobLink.tenant == shelf.tenant, BlobLink.owner == shelf.link_owner, BlobLink.digest == digest
        )
    )
