"""A model's tokenizer as an engine needs it: prompts into ids and ids into text (Hugging Face's tokenizer.json)."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.engines.pieces import TokenBytes
from modelyard.errors import InvalidInput, MissingExtra


class Vocabulary:
    """May be used by several threads at a time."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        special = [token.content for token in added.values() if token.special]
        self._control = re.compile("|".join(map(re.escape, special)) or r"(?!)")
        self._longest = max(map(len, tokenizer.get_vocab()), default=1)
        self.bytes_of = TokenBytes(tokenizer)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """`special`: the text's control tokens are such, and it brings its own first one. Else the model's first
        token goes before it, and what looks like a control token is only text."""
        if special:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        first, *others = self._plain(text)
        ids = list(self._tokenizer.encode(first, add_special_tokens=True).ids)
        for part in others:
            ids += self._tokenizer.encode(part, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Without control tokens."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def fewest(self, text: str) -> int:
        """Tokens that a text has at least, without reading it."""
        return len(text) // self._longest

    def check(self, tokens: Sequence[int]) -> None:
        """Raises InvalidInput for an id that is none of the model's."""
        known = self._tokenizer.get_vocab_size()
        wrong = next((token for token in tokens if not 0 <= token < known), None)
        if wrong is not None:
            raise InvalidInput("the prompt has a token that the model does not know", came=wrong)

    def _plain(self, text: str) -> list[str]:
        """Parts of a text, none with a whole control token in it."""
        cuts = [0, *(found.start() + 1 for found in self._control.finditer(text)), len(text)]
        return [text[start:end] for start, end in itertools.pairwise(cuts)]


def open_vocabulary(path: Path) -> Vocabulary:
    """Of a tokenizer.json. Raises InvalidInput, MissingExtra."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra("tokenizers", "text") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no other kind
        raise InvalidInput(f"{path.name} is no tokenizer", came=type(error).__name__) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Vocabulary(tokenizer)
