"""From what a net hears at each step to the symbols that were said: connectionist temporal classification."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BLANK: Final = 0
_LIKELY: Final = 1e-3  # probability of a symbol at a step that a beam is tried with
_END: Final = -1

Floats = npt.NDArray[np.floating[Any]]
Prefix = tuple[int, ...]


class Words:
    """The words that may be said, as a tree of their symbols; `space` stands between two of them."""

    def __init__(self, words: Iterable[Sequence[int]], space: int) -> None:
        self.space = space
        self.root: dict[int, Any] = {}
        for word in words:
            node = self.root
            for symbol in word:
                node = node.setdefault(symbol, {})
            node[_END] = {}

    def after(self, node: dict[int, Any]) -> dict[int, dict[int, Any]]:
        """What may come next, and where it leads."""
        found = {symbol: inner for symbol, inner in node.items() if symbol != _END}
        return found | {self.space: self.root} if _END in node else found

    def whole(self, prefix: Prefix) -> Prefix:
        """Without a word at the end that is not finished."""
        node, end = self.root, 0
        for place, symbol in enumerate(prefix, 1):
            if symbol == self.space:
                node = self.root
                continue
            node = node[symbol]
            end = place if _END in node and prefix[place : place + 1] in ((), (self.space,)) else end
        return prefix[:end]


def greedy(log_probabilities: Floats) -> list[int]:
    """The likeliest symbol of each step, repetitions together and blanks left out (Graves et al. 2006, section 3.2,
    best path decoding). [steps, symbols]."""
    best = log_probabilities.argmax(axis=1)
    begins = np.append(True, best[1:] != best[:-1])
    return [int(symbol) for symbol in best[begins] if symbol != BLANK]


def beam(log_probabilities: Floats, width: int, words: Words | None = None) -> list[int]:
    """The likeliest sequence over all its paths, of `width` beginnings that are kept at each step: prefix beam
    search (Hannun et al. 2014, First-pass large vocabulary continuous speech recognition, algorithm 1, without a
    language model). [steps, symbols]. With `words`, of these alone."""
    kept: dict[Prefix, tuple[float, float]] = {(): (1.0, 0.0)}  # of paths that end in blank, and that do not
    nodes: dict[Prefix, dict[int, Any]] = {(): words.root} if words is not None else {}
    for step in np.exp(log_probabilities.astype(np.float64)):
        likely = [int(s) for s in np.flatnonzero(step > _LIKELY) if s != BLANK] if words is None else []
        found: defaultdict[Prefix, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, other) in kept.items():
            found[prefix][0] += (blank + other) * step[BLANK]
            if prefix:
                found[prefix][1] += other * step[prefix[-1]]
            after = words.after(nodes[prefix]) if words is not None else {s: {} for s in likely}
            for symbol, node in after.items():
                repeated = bool(prefix) and symbol == prefix[-1]
                longer = (*prefix, symbol)
                found[longer][1] += (blank if repeated else blank + other) * step[symbol]
                if words is not None:
                    nodes[longer] = node
        best = sorted(found.items(), key=lambda item: -sum(item[1]))[:width]
        total = sum(sum(each) for _, each in best)  # scaled, so that long sounds do not end at 0
        kept = {prefix: (blank / total, other / total) for prefix, (blank, other) in best}
    return list(_likeliest(kept, words))


def _likeliest(kept: dict[Prefix, tuple[float, float]], words: Words | None) -> Prefix:
    if words is None:
        return max(kept, key=lambda prefix: sum(kept[prefix]))
    finished: defaultdict[Prefix, float] = defaultdict(float)
    for prefix, mass in kept.items():
        whole = words.whole(prefix)
        # What is not finished counts for the words before it only where nothing else is left.
        finished[whole] += sum(mass) if prefix in (whole, (*whole, words.space)) else 1e-9 * sum(mass)
    return max(finished, key=finished.__getitem__)
