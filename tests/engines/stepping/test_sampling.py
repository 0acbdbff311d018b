"""One request's way from logits to a token, on small vocabularies where the right shares can be counted."""

import math
from collections import Counter

import numpy as np
import pytest

from modelyard.engines.stepping import sampling as sampling_file
from modelyard.engines.stepping.sampling import Sampler
from modelyard.errors import Unavailable
from modelyard.types.generation import Sampling

SHARES = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625], np.float32)
LOGITS = np.log(SHARES)
DRAWS = 4000


class Letters:
    def __getitem__(self, token: int) -> bytes:
        return b"abcde"[token : token + 1]


def sampler(prompt: tuple[int, ...] = (0,), **given: object) -> Sampler:
    return Sampler(Sampling(**{"seed": 1, **given}), prompt, 5, Letters())


def shares(**given: object) -> dict[int, float]:
    made = sampler(**given)
    found = Counter(made.draw(LOGITS).token for _ in range(DRAWS))
    return {token: count / DRAWS for token, count in sorted(found.items())}


@pytest.mark.parametrize(
    ("given", "due"),
    [
        ({}, [0.5, 0.25, 0.125, 0.0625, 0.0625]),
        ({"temperature": 0.5}, [c / 0.3359 for c in (0.25, 0.0625, 0.015625, 0.0039, 0.0039)]),
        ({"top_k": 2}, [2 / 3, 1 / 3]),
        ({"top_k": 100}, [0.5, 0.25, 0.125, 0.0625, 0.0625]),
        ({"top_p": 0.75}, [2 / 3, 1 / 3]),
        ({"top_p": 0.76}, [4 / 7, 2 / 7, 1 / 7]),
        ({"top_p": 1e-9}, [1.0]),
        ({"min_p": 0.24}, [4 / 7, 2 / 7, 1 / 7]),
        ({"min_p": 0.24, "top_k": 2}, [2 / 3, 1 / 3]),
        ({"top_k": 3, "top_p": 0.85}, [2 / 3, 1 / 3]),  # of three, 4/7 + 2/7 = 0.857
        ({"logit_bias": {0: -100.0}}, [0.0, 0.5, 0.25, 0.125, 0.125]),
        ({"presence_penalty": 0.0, "temperature": 0.0}, [1.0]),
    ],
)
def test_shares(given, due):
    found = shares(**given)
    for token, share in enumerate(due):
        assert found.get(token, 0.0) == pytest.approx(share, abs=0.03)
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(token < len(due) for token in found)


def test_a_sort_of_all_gives_what_a_sort_of_the_likeliest_gives(monkeypatch):
    drawn = [sampler(top_p=0.8, seed=n).draw(LOGITS).token for n in range(50)]
    monkeypatch.setattr(sampling_file, "_LIKELIEST", 2)
    assert [sampler(top_p=0.8, seed=n).draw(LOGITS).token for n in range(50)] == drawn


def test_a_seed_draws_alike_and_another_differently():
    def many(seed: int | None) -> list[int]:
        made = sampler(seed=seed)
        return [made.draw(LOGITS).token for _ in range(40)]

    assert many(3) == many(3)
    assert many(3) != many(4)
    assert many(-5) == many(-5)
    assert many(None) != many(None)


def test_penalties():
    greedy = {"temperature": 0.0}
    made = sampler(**greedy, frequency_penalty=0.4)
    assert [made.draw(LOGITS).token for _ in range(4)] == [0, 0, 1, 0]  # 0.69 more than the second
    made = sampler(**greedy, presence_penalty=0.8)
    assert [made.draw(LOGITS).token for _ in range(3)] == [0, 1, 0]  # each is punished once
    made = sampler(prompt=(0, 1), **greedy, repetition_penalty=4.0)
    assert made.draw(LOGITS).token == 2  # log shares are negative: times 4
    assert sampler(prompt=(4,), **greedy, repetition_penalty=4.0).draw(LOGITS + 10).token == 0


def test_what_is_not_allowed_is_never_drawn():
    allowed = np.array([False, False, True, False, True])
    made = sampler(logit_bias={0: 100.0})
    assert {made.draw(LOGITS, allowed).token for _ in range(50)} == {2, 4}


def test_logprobs_are_the_models_own_whatever_is_asked():
    made = sampler(temperature=0.0, logprobs=2, logit_bias={3: 50.0})
    told = made.draw(LOGITS + 3).logprob
    assert (told.token, told.raw, told.logprob) == ("d", b"d", pytest.approx(math.log(0.0625)))
    assert [(t.token, t.logprob) for t in told.top] == [
        ("a", pytest.approx(math.log(0.5))),
        ("b", pytest.approx(math.log(0.25))),
    ]
    assert sampler(logprobs=0).draw(LOGITS).logprob.top == ()
    assert sampler().draw(LOGITS).logprob is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_model_that_breaks_is_not_drawn_from(bad):
    with pytest.raises(Unavailable, match="no finite answer"):
        sampler().draw(np.full(5, bad, np.float32))
