"""A PostgreSQL server of our own in a temporary folder, where Debian's postgresql is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USER = "postgres"


def installed() -> bool:
    """Whether a server can be started here. As root it needs the account that Debian's package makes."""
    if _program("initdb") is None or _program("pg_ctl") is None:
        return False
    return os.getuid() != 0 or any(entry.pw_name == _USER for entry in pwd.getpwall())


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server that listens on a unix socket alone, for as long as the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="yard-pg-"))
    if os.getuid() == 0:
        shutil.chown(folder, _USER)
    data = folder / "data"
    try:
        _run("initdb", "-D", data, "-U", _USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        _run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://{_USER}@/postgres?host={folder}"
        finally:
            _run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> str | None:
    found = [*Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    return shutil.which(name) or (str(max(found)) if found else None)


def _run(name: str, *arguments: object) -> None:
    """As the account that PostgreSQL wants: it refuses root."""
    argv = [str(_program(name)), *map(str, arguments)]
    user = _USER if os.getuid() == 0 else None
    done = subprocess.run(argv, user=user, group=user, extra_groups=[] if user else None, cwd="/",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
