import itertools

import numpy as np
import pytest

from modelyard.tasks import ctc


def logs(rows):
    return np.log(np.maximum(np.array(rows, np.float32), 1e-9))


def test_repetitions_are_one_unless_a_blank_is_between():
    steps = [1, 1, 0, 1, 2, 2, 0, 0]
    assert ctc.greedy(logs(np.eye(3)[steps])) == [1, 1, 2]
    assert ctc.beam(logs(np.eye(3)[steps]), 4) == [1, 1, 2]
    assert ctc.greedy(logs(np.eye(3)[[0, 0]])) == []


def test_a_beam_adds_up_paths_that_say_the_same():
    """The likeliest path is blank, blank (0.36); the likeliest text is "a", by three paths (0.64)."""
    heard = logs([[0.6, 0.4], [0.6, 0.4]])
    assert ctc.greedy(heard) == []
    assert ctc.beam(heard, 4) == [1]


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_finds_what_trying_all_paths_finds(seed):
    random = np.random.default_rng(seed)
    heard = random.dirichlet(np.ones(3), 5)
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=5):
        said = tuple(s for s, before in zip(path, (None, *path), strict=False) if s not in (0, before))
        totals[said] = totals.get(said, 0.0) + float(np.prod(heard[np.arange(5), list(path)]))
    assert tuple(ctc.beam(np.log(heard), 200)) == max(totals, key=totals.__getitem__)


def test_a_minute_of_steps_does_not_underflow():
    random = np.random.default_rng(0)
    heard = np.log(random.dirichlet(np.ones(30), 1500))
    assert len(ctc.beam(heard, 4)) > 500


WORDS = ctc.Words([(2,), (2, 3), (3, 2, 2)], space=1)


def allowed(said):
    """Whether symbols are words of WORDS with one space between each two."""
    rest = "".join(map(str, said)).split("1")
    return all(word in ("2", "23", "322") for word in rest) or not said


@pytest.mark.parametrize("seed", range(8))
def test_of_words_alone_a_wide_beam_finds_the_likeliest(seed):
    random = np.random.default_rng(seed)
    heard = random.dirichlet(np.ones(4), 6)
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(4), repeat=6):
        said = tuple(s for s, before in zip(path, (None, *path), strict=False) if s not in (0, before))
        said = said[:-1] if said and said[-1] == 1 else said  # a space at the end changes no word
        if allowed(said):
            totals[said] = totals.get(said, 0.0) + float(np.prod(heard[np.arange(6), list(path)]))
    assert tuple(ctc.beam(np.log(heard), 500, WORDS)) == max(totals, key=totals.__getitem__)


def test_a_word_that_is_not_finished_is_left_out():
    assert WORDS.whole((2, 3, 1, 3, 2)) == (2, 3)
    assert WORDS.whole((2, 3, 1, 3, 2, 2)) == (2, 3, 1, 3, 2, 2)
    assert WORDS.whole((2, 1)) == (2,)
    assert WORDS.whole((3,)) == ()
    assert ctc.beam(logs(np.eye(4)[[3, 0, 3]]), 8, WORDS) in ([], [2], [2, 3])


def test_letters_that_are_no_word_become_the_nearest_one():
    """ "3 2" is no word and its last letter was heard softly: 3 2 2 is."""
    heard = logs([[0.1, 0.0, 0.1, 0.8], [0.1, 0.0, 0.9, 0.0], [0.7, 0.0, 0.3, 0.0], [0.5, 0.0, 0.5, 0.0]])
    assert ctc.greedy(heard) in ([3, 2], [3, 2, 2])
    assert ctc.beam(heard, 16, WORDS) == [3, 2, 2]
