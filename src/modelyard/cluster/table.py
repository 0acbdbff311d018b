"""The launcher's table on disk: what a new launcher needs to adopt the processes of a killed one."""

import logging
from pathlib import Path

import msgspec
from msgspec import Struct

from modelyard.cluster.identity import Identity
from modelyard.files import write_atomic
from modelyard.types.process import ProcessSpec

log = logging.getLogger(__name__)


class Record(Struct, frozen=True, kw_only=True):
    """One process as it was last known. `ended` is set for one that is not to be started again."""

    spec: ProcessSpec
    identity: Identity | None = None
    started_at: float | None = None
    starts: int = 0
    ended: bool = False
    exit_code: int | None = None
    fault: dict[str, str] | None = None


def load(path: Path) -> list[Record]:
    """The records, or none where no launcher ran before.

    An unreadable table is put aside and taken for none: processes that it named are found by their marker.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Record])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        log.warning("the launcher's table cannot be read and is put aside: %s", error)
        path.replace(path.with_suffix(".unreadable"))
        return []


def save(path: Path, records: list[Record]) -> None:
    """Atomically; readable by its owner alone, for the environment of a process may hold tokens."""
    write_atomic(path, msgspec.json.encode(records), mode=0o600)
