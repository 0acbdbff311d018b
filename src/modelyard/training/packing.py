"""Documents of any length as sequences of one: packed side by side, or each alone.

Best fit, the longest first (Ding et al. 2024, Fewer Truncations Improve Language Modeling): each document goes
where the least room is left that holds it, so little of a batch is padding.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from modelyard.training.finetune_examples import Example

IGNORED: Final = -100
"""The label of a token whose loss does not count, as PyTorch's cross entropy has it."""
_MOST_OPEN: Final = 10_000  # sequences that documents are still put into

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sequences for one forward pass, each [rows, tokens] int64.

    ids        token numbers
    positions  of each token in its own document: 0 again where the next one begins. Attention that is given these
               and no mask does not look across documents
    labels     the token that is to come next in the same document, or IGNORED
    read       tokens of documents, padding not counted
    """

    ids: Ids
    positions: Ids
    labels: Ids
    read: int

    @property
    def counted(self) -> int:
        """Tokens whose loss counts."""
        return int((self.labels != IGNORED).sum())


def pack(lengths: Sequence[int], room: int, packing: bool) -> list[list[int]]:
    """Numbers of documents a sequence: one each without `packing`, else as many as fit into `room` tokens."""
    if not packing:
        return [[number] for number in range(len(lengths))]
    rows: list[list[int]] = []
    open_: list[tuple[int, int]] = []  # (room left, row), sorted
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        at = bisect_left(open_, (lengths[number], -1))
        left, row = open_.pop(at) if at < len(open_) else (room, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(number)
        if left := left - lengths[number]:
            place = (left, row)
            open_.insert(bisect_left(open_, place), place)
        if len(open_) > _MOST_OPEN:
            open_.pop(0)
    return rows


def lay_out(rows: Sequence[Sequence[Example]], pad: int) -> Batch:
    """Sequences of documents as one batch, padded at their ends to the longest: padding is one more document."""
    width = max(sum(len(e) for e in row) for row in rows)
    shape = (len(rows), width)
    ids, positions = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
    labels = np.full(shape, IGNORED, np.int64)
    for number, row in enumerate(rows):
        at = 0
        for example in row:
            end = at + len(example)
            ids[number, at:end] = example.ids
            positions[number, at:end] = np.arange(len(example))
            labels[number, at : end - 1] = np.where(example.counted[1:], example.ids[1:], IGNORED)
            at = end
        positions[number, at:] = np.arange(width - at)
    read = sum(len(example) for row in rows for example in row)
    return Batch(ids=ids, positions=positions, labels=labels, read=read)
