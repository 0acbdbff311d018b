"""Kneser-Ney by hand on a text that is small enough, and that it learns."""

import numpy as np
import pytest

from modelyard.errors import InvalidInput
from modelyard.tasks.ngrams import NGrams
from tiny_corpus import sentences


def ids(text: str) -> np.ndarray:
    return np.array(["abcd".index(letter) for letter in text], np.int64)


def test_probabilities_of_what_may_come_next_add_up_to_one() -> None:
    fitted = NGrams([ids("abcabdabc"), ids("cab")], 4, order=3)
    for before in ("", "a", "ab", "abc", "dd", "cabd"):
        shares = [np.exp(fitted.nats(ids(before)) - fitted.nats(ids(before + letter))) for letter in "abcd"]
        assert sum(shares) == pytest.approx(1.0)
        assert min(shares) > 0


def test_bigrams_by_hand() -> None:
    """Pairs of "aab" with its beginning: ^a, aa, ab, once each, so the discount is 1 and each context's share goes
    to the shorter; one kind of token comes after ^, a and a: a twice, b once, of three pairs."""
    fitted = NGrams([ids("aab")], 2, order=2)
    once, twice = 1.0, 1.0
    discount = once / (once + 2 * twice)
    unigrams = {
        "a": (2 - discount) / 3 + discount * 2 / 3 / 2,
        "b": (1 - discount) / 3 + discount * 2 / 3 / 2,
    }
    assert np.exp(-fitted.nats(ids("b"))) == pytest.approx(unigrams["b"])
    assert np.exp(-fitted.nats(ids("a"))) == pytest.approx(unigrams["a"])


def test_it_learns_and_more_of_before_helps() -> None:
    known = sorted({letter for text, _ in sentences() for letter in text})
    texts = [np.array([known.index(letter) for letter in text]) for text, _ in sentences()]
    train, test = [t for n, t in enumerate(texts) if n % 7], texts[::7]
    nats = [sum(map(NGrams(train, len(known), order).nats, test)) for order in (1, 2, 3, 5)]
    assert nats == sorted(nats, reverse=True)
    assert nats[3] < nats[0] / 4


def test_a_vocabulary_that_keys_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInput, match="do not fit"):
        NGrams([ids("a")], 1 << 13, order=5)
