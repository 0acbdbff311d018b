"""Tokens: a text as the model's ids. A caller's text never holds a control token; a rendered template does."""

from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.errors import InvalidInput, MissingExtra

_MOST_FILE: Final = 256 << 20


class Tokens:
    """The tokenizer.json of a model. For any thread."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInput, MissingExtra."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra("tokenizers", "text") from error
        if not path.is_file() or path.stat().st_size > _MOST_FILE:
            raise InvalidInput("the vllm engine needs the model's tokenizer.json")
        text = path.read_text(encoding="utf-8")
        try:
            self._whole, self._plain = Tokenizer.from_str(text), Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise InvalidInput("tokenizer.json cannot be read", came=type(error).__name__) from error
        self._plain.encode_special_tokens = True
        self._controls = _controls(text)
        self._first = self._before()

    def ids(self, text: str, *, special: bool) -> list[int]:
        """`special`: control tokens are read as such, and none is put before the text."""
        if special:
            return list(self._whole.encode(text, add_special_tokens=False).ids)
        found = self._plain.encode(text, add_special_tokens=False).ids
        if not self._controls.keys().isdisjoint(found):
            found = [i for one in found for i in self._spelt(one)]
        return [*self._first, *found]

    def _before(self) -> list[int]:
        """What the model's own template puts before a text."""
        bare = self._whole.encode("a", add_special_tokens=False).ids
        whole: list[int] = self._whole.encode("a", add_special_tokens=True).ids
        return whole[: whole.index(bare[0])] if bare and bare[0] in whole else []

    def _spelt(self, token: int) -> list[int]:
        """A control token as the letters of its name: some vocabularies hold it as a word, too."""
        if token not in self._controls:
            return [token]
        letters = self._controls[token]
        return [i for letter in letters for i in self._plain.encode(letter, add_special_tokens=False).ids]


def _controls(text: str) -> dict[int, str]:
    """Id -> name of the tokens that are none of a text's; but that of what is unknown is."""
    said: dict[str, Any] = msgspec.json.decode(text)
    model = said.get("model") or {}
    unknown = (model.get("unk_id"), model.get("unk_token"))
    added = said.get("added_tokens") or []
    return {
        one["id"]: one["content"]
        for one in added
        if one.get("special") and one["id"] not in unknown and one["content"] not in unknown
    }
