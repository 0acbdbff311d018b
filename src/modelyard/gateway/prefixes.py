"""Which replica has read the beginning of a prompt before: its cache then holds it, and need not be filled anew.

Source: Zheng et al. 2024, "SGLang: Efficient Execution of Structured Language Model Programs", section 3 (a radix
tree of prompts); here only hashes of blocks, as in vLLM's prefix caching. What engines report corrects them.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

BLOCK: Final = 128  # bytes of a prompt: some 32 tokens
_MOST_BLOCKS: Final = 512  # of one prompt that are looked at: 64 KiB
_KEPT: Final = 65_536  # blocks a replica: some two million tokens, more than most caches hold


def blocks_of(prompt: bytes) -> tuple[int, ...]:
    """A hash for each whole block of the prompt, of all that comes before it too."""
    found, before = [], 0
    for start in range(0, min(len(prompt), _MOST_BLOCKS * BLOCK) - BLOCK + 1, BLOCK):
        before = hash((before, prompt[start : start + BLOCK]))
        found.append(before)
    return tuple(found)


class Prefixes:
    """What one replica has read, the latest last."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most = most
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def share(self, blocks: Sequence[int]) -> float:
        """How much of a prompt it has read, 0 to 1."""
        if not blocks:
            return 0.0
        known = 0
        for block in blocks:
            if block not in self._blocks:
                break
            known += 1
        return known / len(blocks)

    def add(self, blocks: Sequence[int]) -> None:
        """It reads this prompt now."""
        for block in reversed(blocks):  # the beginning is kept longest: without it the rest is worth nothing
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)

    def correct(self, blocks: Sequence[int], expected: float, found: float) -> None:
        """The engine had cached `found` of the prompt where `expected` was hoped for: what it has let go of is
        forgotten."""
        if found >= expected / 2:
            return
        for block in blocks[int(found * len(blocks)) :]:
            self._blocks.pop(block, None)
