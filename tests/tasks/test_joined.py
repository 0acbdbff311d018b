"""Outputs of several batches together."""

import numpy as np

from modelyard.tasks.contract import joined


def test_shorter_answers_are_filled_up_with_zeros():
    parts = [{"heard": np.ones((2, n, 3)), "steps": np.array([n, n - 1])} for n in (2, 4, 3)]
    found = joined(parts)
    assert found["heard"].shape == (6, 4, 3)
    assert found["heard"].sum(axis=(1, 2)).tolist() == [6, 6, 12, 12, 9, 9]
    assert found["steps"].tolist() == [2, 1, 4, 3, 3, 2]


def test_answers_of_one_length_and_texts_stay_as_they_are():
    texts = np.array([b"a", b"b"], object)
    found = joined([{"p": np.eye(2), "text": texts}, {"p": np.eye(2), "text": texts}])
    assert found["p"].shape == (4, 2)
    assert found["text"].tolist() == [b"a", b"b", b"a", b"b"]
