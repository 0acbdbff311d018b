"""Which beginnings of prompts an engine has computed already, where the engine keeps them and does not say so.

The rule is the one of OpenVINO GenAI's block manager (src/cpp/src/continuous_batching, `restore_cached_blocks`):
keys and values are kept in blocks; a block is found again by all tokens up to its end; the last, partly filled one
too; those that were not used for longest are given up first.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

BLOCK: Final = 32
"""Tokens of a block on a CPU."""


class Prefixes:
    """`blocks`: how many the engine holds."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._known: OrderedDict[int, None] = OrderedDict()

    def add(self, tokens: Sequence[int]) -> None:
        """These were computed."""
        for _, key in _keys(tokens):
            self._known[key] = None
            self._known.move_to_end(key)
        while len(self._known) > self._blocks:
            self._known.popitem(last=False)

    def cached(self, prompt: Sequence[int]) -> int:
        """How many of a prompt's first tokens need not be computed; its last one always is."""
        found = 0
        state = 0
        for start in range(0, len(prompt), BLOCK):
            block = tuple(prompt[start : start + BLOCK])
            state, before = hash((state, block)), state
            if state not in self._known:
                found += self._part(before, block)
                break
            self._known.move_to_end(state)
            found += len(block)
        return max(min(found, len(prompt) - 1), 0)

    def _part(self, before: int, block: tuple[int, ...]) -> int:
        """Tokens of a block whose beginning alone is known."""
        lengths = range(len(block) - 1, 0, -1)
        return next((n for n in lengths if hash((before, block[:n])) in self._known), 0)


def _keys(tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
    state = 0
    for start in range(0, len(tokens), BLOCK):
        state = hash((state, tuple(tokens[start : start + BLOCK])))
        yield start, state
