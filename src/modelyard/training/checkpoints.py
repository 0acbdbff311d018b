"""Checkpoints: one safetensors file an epoch, written whole or not at all, whose digest is checked before it
is used.

Tensors are the safetensors' own; all that is not a tensor is JSON in its header. Names carry the epoch and
the attempt, so that an attempt that lost its lease and goes on cannot overwrite what its successor wrote.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.numpy import load, save

from modelyard.files import write_atomic
from modelyard.tasks.contract import Array

_log = logging.getLogger(__name__)
_KEPT: Final = 2
_NAME: Final = re.compile(r"epoch-(\d{7})-attempt-(\d{4,})\.safetensors")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """State after `epoch`. `recipe` is the digest of what was trained, so that nothing else goes on from it.

    tensors   name -> array (net, optimizer, best weights)
    scalars   JSON values
    """

    epoch: int
    recipe: str
    tensors: Mapping[str, Array]
    scalars: Mapping[str, Any]


class Checkpoints:
    """The folder that a run's attempts share. This attempt writes under its own number."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self._folder, self._attempt = folder, attempt
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, checkpoint: Checkpoint) -> None:
        """Durable when this returns; older ones of this and earlier attempts but the last two are removed."""
        tensors = dict(checkpoint.tensors)
        state = json.dumps([checkpoint.epoch, checkpoint.recipe, checkpoint.scalars], allow_nan=False)
        digest = _digest(state, tensors)
        name = f"epoch-{checkpoint.epoch:07d}-attempt-{self._attempt:04d}.safetensors"
        write_atomic(self._folder / name, save(tensors, metadata={"state": state, "sha256": digest}))
        for _, attempt, path in self._found()[_KEPT:]:
            if attempt <= self._attempt:
                path.unlink(missing_ok=True)

    def newest(self, recipe: str) -> Checkpoint | None:
        """The newest good checkpoint of this recipe; broken ones are passed over, with a line in the log."""
        for _, _, path in self._found():
            checkpoint = _read(path)
            if checkpoint is None:
                _log.warning("checkpoint %s is broken; going on from the one before", path.name)
            elif checkpoint.recipe != recipe:
                _log.warning("checkpoint %s is of another recipe or other data; not used", path.name)
            else:
                return checkpoint
        return None

    def _found(self) -> list[tuple[int, int, Path]]:
        """(epoch, attempt, path), newest first."""
        matches = ((_NAME.fullmatch(path.name), path) for path in self._folder.iterdir())
        return sorted(((int(m[1]), int(m[2]), path) for m, path in matches if m), reverse=True)


def _read(path: Path) -> Checkpoint | None:
    """None where the file is not whole."""
    data = path.read_bytes()
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        state, digest = header["__metadata__"]["state"], header["__metadata__"]["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None
    if _digest(state, tensors) != digest:
        return None
    epoch, recipe, scalars = json.loads(state)
    return Checkpoint(epoch=epoch, recipe=recipe, tensors=tensors, scalars=scalars)


def _digest(state: str, tensors: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
