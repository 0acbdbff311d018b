"""What code in a sandbox sees: bubblewrap's words for its files, and its environment."""

import os
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modelyard.errors import InvalidInput

if TYPE_CHECKING:
    from modelyard.trust.sandbox import Sandbox

_USER: Final = 65534  # inside; outside it is the platform's own
_HOME: Final = "/tmp"
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS: Final = (  # nothing of these is secret; /etc/ssl as a whole has private keys in it
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "mime.types", "fonts",
    "ssl/certs", "ssl/openssl.cnf", "ca-certificates", "pki/tls/certs", "pki/ca-trust/extracted",
)  # fmt: skip
_NETWORK_SETTINGS: Final = ("resolv.conf", "gai.conf", "services", "protocols")
_NETWORK_NAMES: Final = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip
_KERNEL: Final = (
    "kcore", "keys", "key-users", "kpagecgroup", "kpagecount", "kpageflags", "timer_list", "vmallocinfo",
    "slabinfo", "pagetypeinfo", "sched_debug", "latency_stats", "kallsyms",
)  # fmt: skip
OUTSIDE: Final = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
"""What the way in needs of the environment, where Python does not start without it."""
FILES: Final = {
    "/etc/passwd": f"yard:x:{_USER}:{_USER}:yard:{_HOME}:/bin/sh\n",
    "/etc/group": f"yard:x:{_USER}:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def environment(box: "Sandbox") -> dict[str, str]:
    """Raises InvalidInput for what no environment can hold; bubblewrap would take the rest for words of its own."""
    if any(
        "\0" in text or "=" in name or not name for name, value in box.env.items() for text in (name, value)
    ):
        raise InvalidInput("a variable of the environment cannot be set", came=sorted(box.env))
    base = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": _HOME,
        "TMPDIR": _HOME,
        "USER": "yard",
        "LANG": "C.UTF-8",
    }
    base |= OUTSIDE | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if (threads := box.limits.threads) is not None:
        base["OMP_NUM_THREADS"] = str(threads)
    if box.network:
        base |= {name: os.environ[name] for name in _NETWORK_NAMES if name in os.environ}
    return base | dict(box.env)


def arguments(box: "Sandbox") -> list[str]:
    words = ["--unshare-all", *(["--share-net"] if box.network else []), "--die-with-parent", "--new-session"]
    words += [
        "--cap-drop",
        "ALL",
        "--uid",
        str(_USER),
        "--gid",
        str(_USER),
        "--hostname",
        "sandbox",
        "--clearenv",
    ]
    for place in _SYSTEM:
        words += _system(place)
    settings = (*_SETTINGS, *(_NETWORK_SETTINGS if box.network else ()))
    words += _bound("--ro-bind-try", (Path("/etc") / name for name in settings))
    words += ["--proc", "/proc", "--dev", "/dev"]
    size = str(box.limits.temporary_bytes)
    for place, mode in (("/tmp", "1777"), ("/dev/shm", "1777")):
        words += ["--perms", mode, "--size", size, "--tmpfs", place]
    words += _bound("--ro-bind-try", python_folders())
    words += _certificates() if box.network else []
    for path in box.hide:
        words += ["--tmpfs", str(_inside(path))]
    words += _bound("--ro-bind", box.read) + _bound("--bind", box.write)
    words += [word for path in box.hide for word in ("--remount-ro", str(path))]
    return [*words, *_proc(), "--remount-ro", "/dev", "--chdir", str(_inside(box.cwd))]


def _proc() -> list[str]:
    """Read-only and without the kernel's own state: where the platform runs as root, those inside are root to the
    files of /proc, whatever number they see, and could write the kernel's settings."""
    covered = [path for name in _KERNEL if os.path.exists(path := f"/proc/{name}")]
    return [*(word for path in covered for word in ("--ro-bind", "/dev/null", path)), "--remount-ro", "/proc"]


def _system(path: str) -> list[str]:
    """A system's folder, or the link that it is where /usr was merged."""
    if os.path.islink(path):
        return ["--symlink", os.readlink(path), path]
    return ["--ro-bind", path, path] if os.path.isdir(path) else []


def _bound(option: str, paths: Iterable[Path]) -> list[str]:
    return [word for path in paths for word in (option, str(_inside(path)), str(_inside(path)))]


def _inside(path: Path) -> Path:
    """Raises InvalidInput for a path that would mean another thing inside."""
    if not path.is_absolute() or ".." in path.parts or "\0" in str(path):
        raise InvalidInput("a sandbox needs whole paths", came=str(path))
    return path


def _certificates() -> list[str]:
    """Those that the environment names, where they lie elsewhere than the system's."""
    named = (
        Path(value) for name in _NETWORK_NAMES[:4] if (value := os.environ.get(name, "")).startswith("/")
    )
    there = (Path("/usr"), Path("/etc/ssl/certs"))
    return _bound("--ro-bind-try", (path for path in named if not _covered(path, there)))


@cache
def python_folders() -> tuple[Path, ...]:
    """Where the platform's Python, its libraries and its own source lie, but for what the system's folders hold."""
    paths = sysconfig.get_paths()
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2]}
    folders |= {Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {path.resolve() for path in folders}
    kept = sorted(path for path in folders if path != Path("/") and not _covered(path, map(Path, _SYSTEM)))
    return tuple(path for path in kept if not _covered(path, (other for other in kept if other != path)))


def _covered(path: Path, by: Iterable[Path]) -> bool:
    return any(path == other or other in path.parents for other in by)
