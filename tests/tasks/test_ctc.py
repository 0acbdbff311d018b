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
