"""Golden replies: prompts, and how a model went on, for engines that generate."""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from modelyard.errors import Corrupt
from modelyard.types.package import Replies

FILE: Final = "replies.json"


class Reply(Struct, frozen=True, kw_only=True):
    """`tokens` are the texts of the likeliest tokens after `prompt`, one by one, `logprobs` natural logarithms of
    their probabilities."""

    prompt: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]


def write(folder: Path, replies: tuple[Reply, ...], tolerance: float) -> Replies:
    """Into the package's folder, before `packages.write`."""
    (folder / FILE).write_bytes(msgspec.json.encode(replies))
    return Replies(file=FILE, tolerance=tolerance)


def read(folder: Path, replies: Replies) -> tuple[Reply, ...]:
    """Raises Corrupt."""
    try:
        return msgspec.json.decode((folder / replies.file).read_bytes(), type=tuple[Reply, ...])
    except (OSError, msgspec.MsgspecError):
        raise Corrupt.because(replies.file, "does not hold golden replies") from None
