"""A Hugging Face tokenizer as a package keeps it: `tokenizer.json`, and how it pads and cuts."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput, ParityMismatch
from modelyard.packages.golden import Array
from modelyard.tasks.texts import COLUMN, SIDES, TENSORS, TOKENIZER, PreparedTexts

_NO_LIMIT: Final = 1_000_000
"""Hugging Face's tokenizers say a number above it where they know of none."""
_DEFAULT_LENGTH: Final = 512
_ODD: Final = (
    "a",
    "Hello, world! It's 3.14 o'clock; e-mail me@example.org (50 % off).",
    "Größe, naïve café, Ærø, İstanbul, ﬁne ½ № ™",
    "日本語のテキスト と 한국어 そして 中文。",
    "Привет, как дела? مرحبا بالعالم नमस्ते",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 \u200b zero\u00adwidth\ufeff \u202eright-to-left",
    "tabs\tand\r\nlines \x00\x07 [CLS] [MASK] </s> <unk> ##ing",
    "x" * 300 + " " + "antidisestablishmentarianism" * 8,
    "The same words again and again. " * 400,
)
"""Of many scripts, with marks that normalizers treat differently, and longer than any model reads."""
SENTENCES: Final = (
    "Yes.",
    "The parcel arrived two days late and the box was open.",
    "She sat by the window and watched the ships come into the harbour while the rain went on.",
    "¿Dónde está la biblioteca? Die Bücher liegen auf dem Tisch, und 3,50 € kostet der Kaffee.",
)
"""What golden rows are made of: each of another length."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A tokenizer as it came, and the preprocessing that does the same. `text` is its file's content."""

    tokenizer: Any
    text: str
    preprocessing: dict[str, Any]

    def write(self, folder: Path) -> None:
        (folder / TOKENIZER).write_text(self.text, encoding="utf-8")

    def tensors(self, texts: list[str]) -> dict[str, Array]:
        """By Hugging Face's own code: [rows, tokens] each."""
        made = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.preprocessing["max_length"],
            return_tensors="np",
        )
        return {name: np.asarray(made[name], np.int64) for name in self.preprocessing["inputs"]}


def bring(tokenizer: Any, network: Any, *, most: int | None = None, column: str = COLUMN) -> Brought:
    """
    Args:
        most: tokens that its maker says it was made for, as sentence-transformers does.

    Raises:
        InvalidInput: a tokenizer that is no "fast" one, has no token to pad with, or makes none of the network's
            tensors.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InvalidInput(
            "the tokenizer has no tokenizer.json",
            came=type(tokenizer).__name__,
            allowed="a fast one: AutoTokenizer.from_pretrained(...)",
        )
    if tokenizer.pad_token is None:
        raise InvalidInput("the tokenizer has no token to pad with", allowed="tokenizer.pad_token = ...")
    inputs = list(inspect.signature(network.forward).parameters)
    names = [name for name in TENSORS if name in tokenizer.model_input_names and name in inputs]
    if "input_ids" not in names:
        raise InvalidInput("the tokenizer makes none of the model's tensors", came=names, allowed=inputs)
    sides = {"padding_side": tokenizer.padding_side, "truncation_side": tokenizer.truncation_side}
    if not set(sides.values()) <= set(SIDES):
        raise InvalidInput("the tokenizer pads or cuts at an unknown side", came=sides, allowed=SIDES)
    preprocessing = {
        "tokenizer": TOKENIZER,
        "column": column,
        "inputs": names,
        "max_length": longest(tokenizer, network, most),
        "pad_id": int(tokenizer.pad_token_id),
        "pad_type_id": int(tokenizer.pad_token_type_id),
        "pad_token": str(tokenizer.pad_token),
        **sides,
    }
    return Brought(tokenizer=tokenizer, text=_text(backend), preprocessing=preprocessing)


def longest(tokenizer: Any, network: Any, most: int | None) -> int:
    """Tokens of the longest text: the least of what the tokenizer, the network and its maker say."""
    said = [n for n in (most, tokenizer.model_max_length) if n and n < _NO_LIMIT]
    positions = getattr(network.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        said.append(positions - _first_position(network))
    return int(min(said)) if said else _DEFAULT_LENGTH


def _first_position(network: Any) -> int:
    """RoBERTa and its kin count positions from the one after the padding's number (fairseq)."""
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def _text(backend: Any) -> str:
    from tokenizers import Tokenizer

    own = Tokenizer.from_str(backend.to_str())
    own.no_padding()
    own.no_truncation()
    text: str = own.to_str()
    return text


def check(brought: Brought, work: Path) -> None:
    """Serving's tokenizer against Hugging Face's, on odd texts alone and together. Raises ParityMismatch."""
    brought.write(work)
    prepared = PreparedTexts(brought.preprocessing, work)
    for texts in (*([text] for text in _ODD), list(_ODD)):
        _compare(prepared.transform(_column(texts)), brought.tensors(texts))


def _column(texts: list[str]) -> dict[str, Array]:
    column = np.empty(len(texts), object)
    column[:] = [text.encode() for text in texts]
    return {COLUMN: column}


def _compare(found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    for name, ids in expected.items():
        if not np.array_equal(found[name], ids):
            raise ParityMismatch(
                f"tokenizer.json does not give the tokenizer's own {name}",
                came=found[name].ravel()[:20].tolist(),
                allowed=str(ids.ravel()[:20].tolist()),
            )
