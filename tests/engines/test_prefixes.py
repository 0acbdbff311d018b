from hypothesis import given
from hypothesis import strategies as st

from modelyard.engines.prefixes import BLOCK, Prefixes

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=3 * BLOCK)


def test_all_but_the_last_token_of_what_was_computed():
    known = Prefixes(8)
    known.add(range(70))
    assert known.cached(range(70)) == 69
    assert known.cached([*range(70), 99]) == 70
    assert known.cached(range(64)) == 63
    assert known.cached(range(80)) == 70
    assert known.cached([*range(40), *range(99)]) == BLOCK
    assert known.cached([5, *range(70)]) == 0


@given(TOKENS, TOKENS)
def test_never_more_than_they_have_alike(one, other):
    known = Prefixes(100)
    known.add(one)
    alike = next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    assert 0 <= known.cached(other) <= min(alike, len(other) - 1)


def test_what_was_not_used_for_longest_goes_first():
    known = Prefixes(2)
    known.add([1] * BLOCK)
    known.add([2] * BLOCK)
    assert known.cached([1] * (BLOCK + 1)) == BLOCK  # used
    known.add([3] * BLOCK)
    assert [known.cached([n] * (BLOCK + 1)) for n in (1, 2, 3)] == [BLOCK, 0, BLOCK]
