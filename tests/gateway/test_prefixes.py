"""Which replica has read a prompt's beginning."""

from hypothesis import given
from hypothesis import strategies as st

from modelyard.gateway.prefixes import BLOCK, Prefixes, blocks_of


@given(st.binary(max_size=2000), st.binary(max_size=2000), st.binary(max_size=2000))
def test_prompts_share_the_blocks_of_their_common_beginning(common, one, other):
    a, b = blocks_of(common + one), blocks_of(common + other)
    alike = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        alike += 1
    assert alike >= len(common) // BLOCK
    assert len(a) == len(common + one) // BLOCK


def test_a_share_grows_with_what_was_read_and_falls_with_what_was_let_go_of():
    prefixes, prompt = Prefixes(), blocks_of(bytes(range(256)) * 8)
    assert prefixes.share(prompt) == 0
    prefixes.add(prompt[:8])
    assert prefixes.share(prompt) == 8 / len(prompt)
    prefixes.add(prompt)
    assert prefixes.share(prompt) == 1
    prefixes.correct(prompt, 1.0, 0.9)  # near enough
    assert prefixes.share(prompt) == 1
    prefixes.correct(prompt, 1.0, 0.25)
    assert prefixes.share(prompt) == 0.25
    assert prefixes.share(()) == 0


def test_the_oldest_goes_first_and_a_beginning_last():
    prefixes = Prefixes(most=6)
    first, second = (1, 2, 3, 4), (11, 12, 13, 14)
    prefixes.add(first)
    prefixes.add(second)
    assert prefixes.share(second) == 1
    assert prefixes.share(first) == 0.5
