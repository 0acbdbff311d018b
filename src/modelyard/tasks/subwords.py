"""Tokenizers of models that write texts: subwords of bytes, from which every text comes back as it was.

Byte pair encoding (Sennrich, Haddow and Birch 2016, Neural machine translation of rare words with subword
units, section 3.2) over bytes (Radford et al. 2019, section 2.2), in the form of Hugging Face's `tokenizers`. The
same texts and options give the same tokenizer, to the byte.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from modelyard.errors import InvalidInput, MissingExtra
from modelyard.tasks.texts import TOKENIZER
from modelyard.types.tensor import Signature, TensorSpec

BYTES: Final = 256


def next_token_tensors(vocabulary: int) -> Signature:
    """Of nets that read one text and write another, in training: `source` and `tokens` INT64 [-1, -1] to `logits`
    FP32 [-1, -1, vocabulary]."""
    inputs = tuple(TensorSpec(name=n, datatype="INT64", shape=(-1, -1)) for n in ("source", "tokens"))
    logits = TensorSpec(name="logits", datatype="FP32", shape=(-1, -1, vocabulary))
    return Signature(inputs=inputs, outputs=(logits,))


def fit(texts: Iterable[str], vocabulary: int, special: Sequence[str], folder: Path | None, form: str) -> Any:
    """Write tokenizer.json into `folder`; the tokenizer.

    Args:
        vocabulary: tokens at most, special ones and the 256 bytes among them.
        special: tokens that no text has, numbered from 0.
        form: what a text's tokens stand in, as "<s> $A </s>".

    Raises InvalidInput, MissingExtra.
    """
    if folder is None:
        raise InvalidInput(
            "a tokenizer is kept in a package", allowed="fit(columns, schema, options, folder)"
        )
    if vocabulary < BYTES + len(special):
        raise InvalidInput(
            "recipe.preprocessing.vocabulary", came=vocabulary, allowed=f"at least {BYTES + len(special)}"
        )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread, as everywhere
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    except ImportError as error:
        raise MissingExtra("tokenizers", "text") from error
    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    used = [(token, made.token_to_id(token)) for token in special if token in form.split()]
    made.post_processor = processors.TemplateProcessing(single=form, special_tokens=used)
    made.save(str(folder / TOKENIZER), pretty=False)
    return made


def texts_of(column: Any, name: str) -> list[str]:
    """A column's texts. Raises InvalidInput where one is missing or blank."""
    found = list(column)
    blank = sum(not isinstance(text, str) or not text.strip() for text in found)
    if blank:
        raise InvalidInput(
            f"the column {name!r} has missing or blank texts", came=f"{blank} of {len(found)} rows"
        )
    return found
