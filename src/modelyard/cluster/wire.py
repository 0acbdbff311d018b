"""What crosses the launcher's socket, one JSON object a line: a Command; back, a Table or a Refusal."""

import msgspec
from msgspec import Struct

from modelyard.types.process import Command, Table

LINE_LIMIT = 64 * 1024 * 1024


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal"):
    """The answer to a line that cannot be followed, as {"code", "message"}."""

    code: str
    message: str


Answer = Table | Refusal

_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def encode(message: Command | Answer) -> bytes:
    """A line, with its end."""
    return msgspec.json.encode(message) + b"\n"


def decode_command(line: bytes) -> Command:
    """Raises msgspec.MsgspecError."""
    return _commands.decode(line)


def decode_answer(line: bytes) -> Answer:
    """Raises msgspec.MsgspecError."""
    return _answers.decode(line)
