"""Garbage collection: blobs that no row names, what crashes left, folders of versions that are gone."""

import math
import shutil
import time
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, exists, select

from modelyard.home import Home
from modelyard.store.blobs import BlobStore
from modelyard.store.database import Database
from modelyard.store.registry import ModelVersion
from modelyard.store.tables import Blob, BlobLink


@dataclass(frozen=True, kw_only=True)
class Collected:
    """How many of each were removed."""

    blobs: int
    leftovers: int
    folders: int


def collect_garbage(database: Database, blobs: BlobStore, home: Home, *, grace: float) -> Collected:
    """Remove what nothing refers to and what is older than `grace` seconds: a write that is on its way has
    its blob before its row, and must be through by then."""
    with database.write() as session:
        linked = exists().where(BlobLink.tenant == Blob.tenant, BlobLink.digest == Blob.digest)
        session.execute(delete(Blob).where(~linked, Blob.created_at < time.time() - grace))
    with database.read() as session:
        needed = set(session.scalars(select(BlobLink.digest).distinct()))
        packages = set(session.scalars(select(ModelVersion.digest).distinct()))
    removed = [d for d, age in blobs.digests() if d not in needed and age >= grace and blobs.remove(d, grace)]
    return Collected(
        blobs=len(removed),
        leftovers=_remove_all(home.temporary, grace, keep=()),
        folders=_remove_all(home.packages, grace, keep=packages),
    )


def _age(path: Path) -> float:
    """Seconds since it changed; what went meanwhile (a blob that was given its name) has none."""
    try:
        return time.time() - path.lstat().st_ctime
    except FileNotFoundError:
        return -math.inf


def _remove_all(folder: Path, grace: float, keep: Container[str]) -> int:
    """Remove what `folder` holds, but for the names to keep and what changed lately."""
    removed = 0
    for path in folder.iterdir():
        if path.name in keep or _age(path) < grace:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        removed += 1
    return removed
