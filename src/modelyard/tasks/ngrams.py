"""n-grams with interpolated Kneser-Ney smoothing: what a language model has to beat.

Kneser and Ney 1995, Improved backing-off for m-gram language modeling; the interpolated form and the discount of
one value an order are those of Chen and Goodman 1999, An empirical study of smoothing techniques, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
ORDER: Final = 5


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """Of one order. `grams` and `contexts` are sorted keys; of each gram its count, of each context the sum of its
    grams' counts and how many grams it has."""

    grams: Ids
    counts: Floats
    contexts: Ids
    sums: Floats
    kinds: Floats
    discount: float


class NGrams:
    """Fitted on documents of numbers below `vocabulary`; each begins anew."""

    def __init__(self, documents: Sequence[Ids], vocabulary: int, order: int = ORDER) -> None:
        self._base, self._order, self._vocabulary = vocabulary + 1, order, vocabulary
        if self._base**order >= 1 << 63:
            raise InvalidInput("n-grams of a vocabulary this large do not fit", came=vocabulary)
        keys, counts = np.unique(
            np.concatenate([self._keys(document, order) for document in documents]), return_counts=True
        )
        self._orders: list[_Counts] = []
        for length in range(order, 0, -1):
            self._orders.append(_counted(keys, counts.astype(np.float64), self._base))
            keys, counts = np.unique(keys % self._base ** (length - 1), return_counts=True)

    def nats(self, document: Ids) -> float:
        """Minus the log probability of a document."""
        if not len(document):
            return 0.0
        keys = self._keys(document, self._order)
        shares = np.full(len(document), 1 / self._vocabulary)
        for length, order in zip(range(1, self._order + 1), reversed(self._orders), strict=True):
            shares = _interpolated(order, keys % self._base**length, self._base, shares)
        return float(-np.log(shares).sum())

    def _keys(self, document: Ids, length: int) -> Ids:
        """A number for each token with those before it, of `length` in all."""
        begun = np.concatenate([np.full(length - 1, self._vocabulary, np.int64), document.astype(np.int64)])
        keys = np.zeros(len(document), np.int64)
        for place in range(length):
            keys = keys * self._base + begun[place : place + len(document)]
        return keys


def _counted(grams: Ids, counts: Floats, base: int) -> _Counts:
    contexts, place = np.unique(grams // base, return_inverse=True)
    once, twice = float((counts == 1).sum()), float((counts == 2).sum())
    return _Counts(
        grams=grams,
        counts=counts,
        contexts=contexts,
        sums=np.bincount(place, counts).astype(np.float64),
        kinds=np.bincount(place).astype(np.float64),
        discount=once / (once + 2 * twice) if once else 0.5,
    )


def _interpolated(order: _Counts, keys: Ids, base: int, shorter: Floats) -> Floats:
    """Probabilities of one order from those of the next shorter one."""
    at, known = _found(order.contexts, keys // base)
    gram, counted = _found(order.grams, keys)
    count = np.where(counted, order.counts[gram], 0.0)
    seen = np.maximum(count - order.discount, 0.0)
    sums, kinds = order.sums[at], order.kinds[at]
    shares: Floats = np.where(known, (seen + order.discount * kinds * shorter) / sums, shorter)
    return shares


def _found(sorted_keys: Ids, keys: Ids) -> tuple[Any, Any]:
    """Where each key is, and whether it is there."""
    at = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return at, sorted_keys[at] == keys
