"""Ranked lists: the best of a row of scores, the place of one of them, and figures of such places.

The figures are those of one held-out item a row: recall@k is the share of rows whose item is among the k best, and
NDCG@k (Järvelin and Kekäläinen 2002) the mean of 1 / log2(1 + rank), 0 below the k best. All items are ranked:
figures over a sample of them order models differently (Krichene and Rendle 2020, On sampled metrics for item
recommendation).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def best(scores: Scores, allowed: Mask, most: int) -> Ints:
    """Numbers of the `most` allowed items with the highest scores, the best first; of equal ones the lower number
    first. Fewer where fewer are allowed. Both [items]."""
    places = np.flatnonzero(allowed)
    values = scores[places]
    if len(places) > most:
        least = np.partition(values, len(values) - most)[len(values) - most]
        kept = values >= least  # with all that tie with the last one
        places, values = places[kept], values[kept]
    return places[np.argsort(-values, kind="stable")[:most]]


def rank(scores: Scores, allowed: Mask, item: int) -> int:
    """The place, from 1, of the item among the allowed ones, in the order of `best`; itself need not be one."""
    before = scores > scores[item]
    before[:item] |= scores[:item] == scores[item]
    return 1 + int(np.count_nonzero(before & allowed))


def recall(ranks: Ints, k: int) -> float:
    """`ranks` [rows], from 1."""
    return float(np.mean(ranks <= k))


def ndcg(ranks: Ints, k: int) -> float:
    """`ranks` [rows], from 1."""
    return float(np.mean(np.where(ranks <= k, 1 / np.log2(1.0 + ranks), 0.0)))


def reciprocal(ranks: Ints) -> float:
    """Mean reciprocal rank. `ranks` [rows], from 1."""
    return float(np.mean(1 / ranks))
