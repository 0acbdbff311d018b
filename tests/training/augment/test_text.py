"""Changes of token numbers, by a tokenizer that is made here."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Examples
from modelyard.training.augment import random_of
from modelyard.training.augment.text import Text, TextAugmenter, dropped, swapped

WORDS = ("the", "cat", "sat", "on", "a", "red", "mat", "and", "slept")
PAD, START, END = 0, 1, 2


@pytest.fixture
def augmenter(tmp_path: Path) -> Any:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    names = ["[PAD]", "[START]", "[END]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: k for k, name in enumerate(names)}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names[:3]])
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    def make(**given: Any) -> TextAugmenter:
        job: Any = SimpleNamespace(
            folder=tmp_path,
            shape=SimpleNamespace(preprocessing={"pad_id": PAD, "tokenizer": "tokenizer.json"}),
            train=_batch(),
        )
        return TextAugmenter(Text(**given), job)

    return make


def _batch() -> Examples:
    """Three texts of 9, 4 and 1 words between special tokens."""
    ids = np.full((3, 11), PAD)
    lengths = np.array([11, 6, 3])
    for row, length in enumerate(lengths):
        ids[row, :length] = [START, *range(3, 1 + length), END]
    mask = (np.arange(11) < lengths[:, None]).astype(np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask}
    return Examples(
        inputs=inputs, targets={"target": np.zeros(3, np.int64)}, ragged=dict.fromkeys(inputs, lengths)
    )


def test_words_are_left_out_in_order_between_special_tokens(augmenter: Any) -> None:
    batch, change = _batch(), augmenter(word_dropout=0.5)
    whole = [row[:n].tolist() for row, n in zip(batch.inputs["input_ids"], [11, 6, 3], strict=True)]
    seen = set()
    for number in range(1, 30):
        found = change(batch, random_of(0, 1, number))
        lengths = found.ragged["input_ids"]
        assert np.array_equal(found.inputs["attention_mask"].sum(axis=1), lengths)
        assert found.ragged["attention_mask"] is lengths
        for row, length in enumerate(lengths):
            ids = found.inputs["input_ids"][row]
            assert (ids[length:] == PAD).all()
            kept = ids[:length].tolist()
            assert (kept[0], kept[-1]) == (START, END)
            assert len(kept) >= 3  # a text keeps a word
            assert kept == [token for token in whole[row] if token in kept]
        seen.add(int(lengths[0]))
    assert len(seen) > 3
    assert np.array_equal(batch.inputs["input_ids"], _batch().inputs["input_ids"])


def test_neighbours_change_places_and_special_tokens_do_not(augmenter: Any) -> None:
    batch, change = _batch(), augmenter(swap=0.4)
    moved = 0
    for number in range(1, 30):
        ids = change(batch, random_of(0, 1, number)).inputs["input_ids"]
        assert np.array_equal(np.sort(ids, axis=1), np.sort(batch.inputs["input_ids"], axis=1))
        assert (ids[:, 0] == START).all()
        assert np.array_equal(ids == END, batch.inputs["input_ids"] == END)
        assert np.abs(ids - batch.inputs["input_ids"]).max() <= 1
        moved += int((ids != batch.inputs["input_ids"]).sum())
    assert moved > 30


def test_the_generator_alone_decides(augmenter: Any) -> None:
    change = augmenter(word_dropout=0.3, swap=0.3)
    one, same, other = (change(_batch(), random_of(0, 1, n)).inputs["input_ids"] for n in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_shares_are_what_they_say() -> None:
    free = np.ones((300, 40), bool)
    random = np.random.default_rng(0)
    assert dropped(free, 0.2, random).mean() == pytest.approx(0.2, abs=0.01)
    assert (dropped(free[:, :1], 0.9, random)).sum() == 0
    places = swapped(free, 0.1, random)
    assert (places != np.arange(40)).mean() == pytest.approx(2 * 0.1 * 0.9, abs=0.02)


def test_the_report_has_texts(augmenter: Any) -> None:
    change = augmenter(word_dropout=0.5)
    rows = _batch()
    found = change.exhibit(rows, [change(rows, random_of(0, 1, n)) for n in (1, 2, 3)])
    assert found.header == ("as it is", "draw 1", "draw 2")
    assert found.rows[0][0] == "the cat sat on a red mat and slept"
    assert found.rows[2] == ("the", "the", "the")


def test_what_is_no_text_is_refused() -> None:
    job: Any = SimpleNamespace(train=Examples(inputs={"image": np.zeros((1, 2))}))
    with pytest.raises(InvalidInput, match=r"needs token numbers; came: \['image'\]"):
        TextAugmenter(Text(swap=0.1), job)
