"""Opening a home: one control at a time, its database, its secret, and the first key."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from modelyard.cluster.platform import read_config
from modelyard.cluster.secret import ensure_secret
from modelyard.control.platform import Platform
from modelyard.control.services import keys
from modelyard.errors import Conflict
from modelyard.files import write_atomic
from modelyard.home import Home
from modelyard.store.blobs import BlobStore
from modelyard.store.database import Database, open_database
from modelyard.store.tables import DEFAULT_TENANT, Tenant


@contextmanager
def only_control(home: Home) -> Iterator[None]:
    """Hold the home, until this process ends in whatever way. Raises Conflict where another control holds
    it."""
    fd = os.open(home.state / "control.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("another control already runs for this home") from None
        yield
    finally:
        os.close(fd)


def open_platform(home: Home) -> Platform:
    """Everything that services work on; the database is migrated, leftovers of partial writes are removed."""
    config = read_config(home)
    secret = ensure_secret(home)
    _empty(home)
    database = open_database(config.database_url, home.database)
    platform = Platform(
        home=home,
        config=config,
        secret=secret,
        database=database,
        blobs=BlobStore(home.blobs, home.temporary),
    )
    _ensure_tenant(platform, database)
    ensure_first_key(platform)
    return platform


def ensure_first_key(platform: Platform) -> None:
    """Make the first admin key where no key was ever made, and leave it in client.json for the command line.

    The file comes first: a key that nobody can read would lock everyone out.
    """
    with platform.database.read() as session:
        there = keys.any_key(session)
    if there:
        return _refresh_credentials(platform)
    key = keys.new_key()
    _write_credentials(platform, key)
    keys.create(platform, DEFAULT_TENANT, "first admin key", ["admin", "predict", "metrics"], key=key)


def _refresh_credentials(platform: Platform) -> None:
    """The ports may be others than at the last start."""
    try:
        kept = msgspec.json.decode(platform.home.credentials.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.MsgspecError):
        return
    if "api_key" in kept and kept != _credentials(platform, kept["api_key"]):
        _write_credentials(platform, kept["api_key"])


def _write_credentials(platform: Platform, key: str) -> None:
    data = msgspec.json.encode(_credentials(platform, key))
    write_atomic(platform.home.credentials, data, mode=0o600)


def _credentials(platform: Platform, key: str) -> dict[str, str]:
    config = platform.config
    return {"url": config.control_url, "gateway_url": config.gateway_url, "api_key": key}


def _ensure_tenant(platform: Platform, database: Database) -> None:
    with database.write() as session:
        if session.get(Tenant, DEFAULT_TENANT) is None:
            session.add(Tenant(id=DEFAULT_TENANT, created_at=platform.now()))


def _empty(home: Home) -> None:
    for path in home.temporary.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
