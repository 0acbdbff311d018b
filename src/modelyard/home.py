"""The layout of YARD_HOME: every path that more than one process knows has its name here."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

_SOCKET_LIMIT = 90  # sun_path holds 108 bytes; the longest name below a socket folder is well under 18


class Home:
    """A platform's folder. Nothing is made until `create` is called."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().absolute()

    @classmethod
    def from_environment(cls) -> "Home":
        """YARD_HOME, or ~/.modelyard."""
        return cls(os.environ.get("YARD_HOME") or Path.home() / ".modelyard")

    def create(self) -> None:
        """Make the folders, readable by their owner alone."""
        for folder in (
            self.root,
            self.blobs,
            self.temporary,
            self.partials,
            self.packages,
            self.runs,
            self.logs,
            self.state,
            self.sockets,
        ):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def config(self) -> Path:
        """config.json: host and ports of the last `yard up` (types.process.PlatformConfig)."""
        return self.root / "config.json"

    @property
    def credentials(self) -> Path:
        """client.json, mode 0600: {"url", "gateway_url", "api_key"} for the command line of who started it."""
        return self.root / "client.json"

    @property
    def key_shown(self) -> Path:
        """There once `yard up` has shown the admin key: it is shown once."""
        return self.state / "key-shown"

    @property
    def secret(self) -> Path:
        """The HMAC secret for keys, 32 random bytes in hex, mode 0600."""
        return self.root / "secret"

    @property
    def database(self) -> Path:
        return self.root / "modelyard.db"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def temporary(self) -> Path:
        """Partial writes, on the same file system as the blobs; emptied at start."""
        return self.root / "tmp"

    @property
    def partials(self) -> Path:
        """partials/<upload session>: files that come in parts; kept over a restart."""
        return self.root / "partials"

    @property
    def packages(self) -> Path:
        """packages/<version digest>/: a package as a folder of hard links to blobs."""
        return self.root / "packages"

    @property
    def runs(self) -> Path:
        """runs/<run id>/: spec.json, inputs/, checkpoints/, attempt-<n>/ (outputs/, log.txt)."""
        return self.root / "runs"

    @property
    def environments(self) -> Path:
        """environments/<digest>/: what the requirements of scripts have asked for (modelyard.environments)."""
        return self.root / "environments"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """What processes keep for their own restart: the launcher's table, the gateway's snapshot, locks."""
        return self.root / "state"

    @property
    def sockets(self) -> Path:
        """Unix sockets; beside the home where its own path is too long for a socket's name."""
        folder = self.root / "sockets"
        if len(os.fsencode(folder)) <= _SOCKET_LIMIT - 18:
            return folder
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"modelyard-{os.getuid()}-{name}"

    def remove_sockets(self) -> None:
        """Remove their folder where it lies beside the home, when everything has ended."""
        if self.sockets.parent != self.root:
            shutil.rmtree(self.sockets, ignore_errors=True)

    @property
    def launcher_socket(self) -> Path:
        return self.sockets / "launcher"

    @property
    def launcher_table(self) -> Path:
        return self.state / "launcher.json"

    @property
    def gateway_snapshot(self) -> Path:
        return self.state / "snapshot.json"

    @property
    def gateway_usage(self) -> Path:
        """What the gateway has counted and control has not heard yet."""
        return self.state / "usage.json"
