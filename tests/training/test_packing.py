from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelyard.training.finetune_examples import Example
from modelyard.training.packing import IGNORED, lay_out, pack


def example(ids: Sequence[int], counted: Sequence[bool] | None = None) -> Example:
    mask = np.ones(len(ids), bool) if counted is None else np.array(counted)
    mask[:1] = False
    return Example(ids=np.array(ids), counted=mask)


@given(st.lists(st.integers(1, 32), max_size=60))
def test_every_document_is_packed_once_and_no_sequence_is_too_long(lengths: list[int]) -> None:
    rows = pack(lengths, 32, packing=True)
    assert sorted(n for row in rows for n in row) == list(range(len(lengths)))
    assert all(sum(lengths[n] for n in row) <= 32 for row in rows)
    assert rows == pack(lengths, 32, packing=True)


@given(st.lists(st.integers(1, 32), min_size=1, max_size=60))
def test_packing_leaves_no_two_sequences_that_would_fit_into_one(lengths: list[int]) -> None:
    rooms = sorted(sum(lengths[n] for n in row) for row in pack(lengths, 32, packing=True))
    assert len(rooms) < 2 or rooms[0] + rooms[1] > 32


def test_without_packing_each_document_is_alone() -> None:
    assert pack([3, 1, 2], 32, packing=False) == [[0], [1], [2]]


def test_a_batch_predicts_the_next_token_of_the_same_document() -> None:
    batch = lay_out([[example([5, 6, 7]), example([8, 9])], [example([1, 2])]], pad=0)
    assert batch.ids.tolist() == [[5, 6, 7, 8, 9], [1, 2, 0, 0, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1], [0, 1, 0, 1, 2]]
    assert batch.labels.tolist() == [[6, 7, IGNORED, 9, IGNORED], [2, *[IGNORED] * 4]]
    assert batch.counted == 4


def test_only_counted_tokens_have_labels() -> None:
    batch = lay_out([[example([5, 6, 7, 8], [True, False, True, True])]], pad=0)
    assert batch.labels.tolist() == [[IGNORED, 7, 8, IGNORED]]
