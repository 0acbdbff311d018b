"""Sound files: which files are some, and looking at what came."""

from typing import Final

from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks import sounds

MAX_BYTES: Final = sounds.MOST_BYTES
SUFFIXES: Final = (".aac", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".webm")


def is_sound(head: bytes) -> bool:
    """Whether a file's first 16 bytes are those of a format that holds sound."""
    return head.startswith((b"fLaC", b"OggS", b"ID3")) or (head[:4] == b"RIFF" and head[8:12] == b"WAVE")


def check_sound(data: bytes, name: str) -> None:
    """Decode `data` whole; `name` is what the message calls it. Raises InvalidInput, TooLarge, MissingExtra."""
    try:
        sounds.decode(data)
    except TooLarge as error:
        raise TooLarge(f"sound file {name!r} is too long", came=error.came, allowed=error.allowed) from error
    except InvalidInput as error:
        raise InvalidInput(f"{name!r} is no sound file that can be read", allowed=sounds.FILES) from error
