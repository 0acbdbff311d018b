"""Tokens into the pieces of text that are told: whole characters, and nothing of a text at which the answer ends.

For engines that hand out tokens. Decoding everything again for each token would cost more than the model; a window
of the last few is decoded instead, and what it has more than before is new (as in vLLM).
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

_BEFORE: Final = 6
"""Tokens of the prompt that the first window begins with: decoders treat a text's first token in their own way."""
_MOST_WAITING: Final = 8
"""Tokens that wait for the rest of a character, which has at most four bytes: more are no character."""
_MOST_WINDOW: Final = 64
_BROKEN: Final = "\ufffd"
_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Detokenizer:
    """Text of an answer as its tokens come. What was told is never taken back.

    Args:
        decode: ids into text, control tokens left out, without any cleaning up of spaces.
        before: the prompt's tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int] = ()) -> None:
        self._decode = decode
        self._window = list(before[-_BEFORE:])
        self._told = len(self._window)  # tokens of the window whose text was told
        self._text = decode(self._window) if self._window else ""  # of these

    def push(self, token: int) -> str:
        """The text that is whole with this token; empty where a character is not."""
        self._window.append(token)
        text = self._decode(self._window)
        if text.endswith(_BROKEN) and len(self._window) - self._told < _MOST_WAITING:
            return ""
        return self._advance(text)

    def rest(self) -> str:
        """At the end: what waits still, U+FFFD in the place of what is no character."""
        return self._advance(self._decode(self._window)) if len(self._window) > self._told else ""

    def _advance(self, text: str) -> str:
        new = text[_alike(self._text, text) :]
        # A window that tells nothing (control tokens) must go on beginning with a token that does.
        if new or len(self._window) > _MOST_WINDOW:
            self._window = self._window[self._told :]
            self._text = self._decode(self._window)
        else:
            self._text = text
        self._told = len(self._window)
        return new


class StopTexts:
    """Cuts a text, that comes in pieces, before the first of these texts to be whole in it."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """What can be told, and whether the answer ends there. What may be the beginning of a stop is held back."""
        text = self._held + text
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)[1]], True
        held = max((_begun(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], False

    def rest(self) -> str:
        """At the end: what was held back for nothing."""
        held, self._held = self._held, ""
        return held


class TokenBytes:
    """The bytes that each token of a `tokenizers.Tokenizer` stands for: parts of characters have no text."""

    def __init__(self, tokenizer: Any) -> None:
        self._name = tokenizer.id_to_token
        self._special = {t: added.content for t, added in tokenizer.get_added_tokens_decoder().items()}
        decoder = tokenizer.decoder
        kinds = json.dumps(json.loads(decoder.__getstate__())) if decoder is not None else ""
        self._spelt = _SPELT if '"ByteLevel"' in kinds else {}

    def __getitem__(self, token: int) -> bytes:
        if token in self._special:
            return str(self._special[token]).encode()
        name = str(self._name(token) or "")
        if self._spelt and all(character in self._spelt for character in name):
            return bytes(self._spelt[character] for character in name)
        if (byte := _BYTE.fullmatch(name)) is not None:
            return bytes([int(byte[1], 16)])
        return name.replace("\u2581", " ").encode()  # SentencePiece's space


def _alike(one: str, other: str) -> int:
    """How many characters they begin alike with."""
    if other.startswith(one):
        return len(one)
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _begun(text: str, stop: str) -> int:
    """The longest end of the text that a stop begins with."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


def _spelling() -> dict[str, int]:
    """The characters in which byte-level BPE writes bytes (GPT-2's `bytes_to_unicode`)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(others)}


_SPELT: Final = _spelling()
