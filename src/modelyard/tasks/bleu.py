"""BLEU (Papineni et al. 2002) as sacrebleu counts it (Post 2018), and chrF (Popović 2015)."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelyard.errors import MissingExtra


def figures(answers: Sequence[str], due: Sequence[str]) -> dict[str, float]:
    """Of a whole corpus: `bleu` and `chrf` of 100, the share of the references' length that was written, and of
    answers that are the reference itself."""
    metrics = sacrebleu()
    found = metrics.BLEU().corpus_score(list(answers), [list(due)])
    return {
        "bleu": float(found.score),
        "chrf": float(metrics.CHRF().corpus_score(list(answers), [list(due)]).score),
        "length_ratio": float(found.ratio),
        "exact": float(np.mean([a == b for a, b in zip(answers, due, strict=True)])),
    }


def bleu(answers: Sequence[str], due: Sequence[str]) -> float:
    """The same alone, of counts that are kept: a bootstrap asks for the same sentences a thousand times."""
    counts = np.sum([_counts(a, b) for a, b in zip(answers, due, strict=True)], axis=0).tolist()
    found = sacrebleu().BLEU.compute_bleu(
        correct=counts[2:6], total=counts[6:], sys_len=counts[0], ref_len=counts[1]
    )
    return float(found.score)


def signature() -> str:
    """Which BLEU it is."""
    metric = sacrebleu().BLEU()
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())


def sacrebleu() -> Any:
    """sacrebleu.metrics. Raises MissingExtra."""
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MissingExtra("sacrebleu", "translation") from error
    return metrics


@functools.lru_cache(maxsize=1 << 16)
def _counts(answer: str, due: str) -> tuple[int, ...]:
    """Words of both, then n-grams of 1 to 4 that are right, and of all."""
    found = sacrebleu().BLEU(effective_order=True).sentence_score(answer, [due])
    return (found.sys_len, found.ref_len, *found.counts, *found.totals)
