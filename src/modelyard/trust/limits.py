"""What code in a sandbox may use."""

import math
import os
from dataclasses import dataclass
from typing import Final

_THREADS: Final = 16  # for each process that is allowed
_DATA_FACTOR: Final = 2  # frameworks reserve more than they touch; what is touched is watched


@dataclass(frozen=True, kw_only=True)
class Limits:
    """None: no limit of this kind.

    memory_bytes     of the whole tree, its temporary files included: watched. Besides, twice as much address
                     space for data (RLIMIT_DATA) for each process
    processes        at one time, and 16 times as many threads: watched; RLIMIT_NPROC, where the kernel keeps to it,
                     counts threads
    open_files       RLIMIT_NOFILE of each process
    file_bytes       of one file (RLIMIT_FSIZE)
    disk_bytes       of what is written into the sandbox's writable folders: watched
    seconds          of wall clock: watched
    cpus             processors at one time: that many of them, rounded up, and as many OpenMP threads
    temporary_bytes  of /tmp and of /dev/shm, each, which are memory
    """

    memory_bytes: int | None = 4 << 30
    processes: int = 256
    open_files: int = 4096
    file_bytes: int | None = 16 << 30
    disk_bytes: int | None = 32 << 30
    seconds: float | None = None
    cpus: float | None = None
    temporary_bytes: int = 1 << 30

    @property
    def threads(self) -> int | None:
        """How many OpenMP threads; None where nothing was said."""
        return None if self.cpus is None else max(1, math.ceil(self.cpus))

    @property
    def most_threads(self) -> int:
        """Of all processes at one time."""
        return self.processes * _THREADS

    def rlimits(self) -> dict[str, int]:
        """What the kernel keeps for each process, by the names of the `resource` module."""
        values: dict[str, int] = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": self.open_files}
        if self.memory_bytes is not None:
            values["RLIMIT_DATA"] = self.memory_bytes * _DATA_FACTOR
        if self.file_bytes is not None:
            values["RLIMIT_FSIZE"] = self.file_bytes
        return values

    @property
    def kernel_counts_processes(self) -> bool:
        """Whether RLIMIT_NPROC does anything: the kernel exempts root (fork(2)), by the id outside a user
        namespace."""
        return os.getuid() != 0
