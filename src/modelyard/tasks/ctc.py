"""From what a net hears at each step to the symbols that were said: connectionist temporal classification."""

from collections import defaultdict
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BLANK: Final = 0
_LIKELY: Final = 1e-3  # probability of a symbol at a step that a beam is tried with

Floats = npt.NDArray[np.floating[Any]]


def greedy(log_probabilities: Floats) -> list[int]:
    """The likeliest symbol of each step, repetitions together and blanks left out (Graves et al. 2006, section 3.2,
    best path decoding). [steps, symbols]."""
    best = log_probabilities.argmax(axis=1)
    begins = np.append(True, best[1:] != best[:-1])
    return [int(symbol) for symbol in best[begins] if symbol != BLANK]


def beam(log_probabilities: Floats, width: int) -> list[int]:
    """The likeliest sequence over all its paths, of `width` beginnings that are kept at each step: prefix beam
    search (Hannun et al. 2014, First-pass large vocabulary continuous speech recognition, algorithm 1, without a
    language model). [steps, symbols]."""
    kept: dict[tuple[int, ...], tuple[float, float]] = {
        (): (1.0, 0.0)
    }  # of paths that end in blank, and that do not
    for step in np.exp(log_probabilities.astype(np.float64)):
        likely = [int(s) for s in np.flatnonzero(step > _LIKELY) if s != BLANK]
        found: defaultdict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, other) in kept.items():
            found[prefix][0] += (blank + other) * step[BLANK]
            if prefix:
                found[prefix][1] += other * step[prefix[-1]]
            for symbol in likely:
                repeated = bool(prefix) and symbol == prefix[-1]
                found[(*prefix, symbol)][1] += (blank if repeated else blank + other) * step[symbol]
        best = sorted(found.items(), key=lambda item: -sum(item[1]))[:width]
        total = sum(sum(each) for _, each in best)  # scaled, so that long sounds do not end at 0
        kept = {prefix: (blank / total, other / total) for prefix, (blank, other) in best}
    likeliest: tuple[int, ...] = max(kept, key=lambda prefix: sum(kept[prefix]))
    return list(likeliest)
