"""How much memory a replica takes: estimated before it has run here, measured afterwards."""

from pathlib import Path
from typing import Final

import msgspec
import psutil

from modelyard.engines.table import generator_format
from modelyard.errors import ModelyardError
from modelyard.planning.configs import shape_of_path
from modelyard.planning.memory import cache_bytes
from modelyard.trust.processes import tree
from modelyard.types.package import MANIFEST_NAME, Manifest
from modelyard.types.route import Serving

_PROCESS: Final = 96 << 20  # of the libraries of a replica
_GENERATING: Final = 256 << 20  # and of an engine that generates, with what it computes in
_SLOTS: Final = 16  # the engines' own choices, at most
_CONTEXT: Final = 4096
_KV_BITS: Final = 16

Kind = tuple[str, int | None, int | None]
"""What decides a size: the package's digest, slots, context."""


class Sizes:
    """Bytes by package and settings; what has been measured holds until control ends."""

    def __init__(self, packages: Path, budget: int) -> None:
        self._packages, self._budget = packages, budget
        self._measured: dict[Kind, int] = {}
        self._estimated: dict[Kind, int] = {}

    def of(self, digest: str, serving: Serving) -> int:
        """Of one replica. The package is laid out."""
        kind = digest, serving.slots, serving.context
        if kind in self._measured:
            return self._measured[kind]
        if kind not in self._estimated:
            self._estimated[kind] = self._estimate(self._packages / digest, serving)
        return self._estimated[kind]

    def measure(self, digest: str, serving: Serving, pid: int) -> None:
        """Of a replica that answers: the most that one has held."""
        kind = digest, serving.slots, serving.context
        self._measured[kind] = max(self._measured.get(kind, 0), resident(pid))

    def _estimate(self, folder: Path, serving: Serving) -> int:
        """The package's bytes, the keys and values of every slot, and the process. An engine that chooses its slots
        by itself takes fewer where there is no room for all."""
        manifest = msgspec.json.decode((folder / MANIFEST_NAME).read_bytes(), type=Manifest)
        files = sum(entry.size for entry in manifest.files.values())
        form = generator_format(manifest)
        if form is None:
            return files + _PROCESS
        each = _sequence(folder / manifest.formats[form], serving)
        whole = files + _PROCESS + _GENERATING
        if serving.slots is not None:
            return whole + serving.slots * each
        return max(whole + each, min(whole + _SLOTS * each, self._budget))


def resident(pid: int) -> int:
    """Bytes of memory of a process and of those below it, as a sandbox's; 0 where it is gone."""
    return sum(_resident(one) for one in tree(pid))


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _sequence(entry: Path, serving: Serving) -> int:
    """Of the keys and values of one sequence; 0 of a model whose shape is not known."""
    try:
        shape = shape_of_path(entry if entry.suffix == ".gguf" else entry.parent)
    except (ModelyardError, OSError):
        return 0
    longest = min(shape.longest or _CONTEXT, _CONTEXT)
    return int(cache_bytes(shape, serving.context or longest, _KV_BITS))
