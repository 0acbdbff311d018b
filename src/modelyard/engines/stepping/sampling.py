"""Logits into a token, as one request asks for it.

The order is Hugging Face's (generation/logits_process.py): penalties, biases, what a constraint forbids, then
temperature, top_k, top_p (Holtzman et al. 2020), min_p (Nguyen et al. 2024). Log probabilities are the model's own,
before all of that. A request draws from a generator of its own, so that a seed's answer does not depend on its
neighbours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from modelyard.errors import Unavailable
from modelyard.types.generation import Sampling, TokenLogprob

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_LIKELIEST: Final = 1024
"""Tokens that are sorted for top_p before all are: a sort of the whole vocabulary takes longer than the rest."""


class TokenBytes(Protocol):
    """The bytes that a token stands for."""

    def __getitem__(self, token: int) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """`logprob` where it was asked for."""

    token: int
    logprob: TokenLogprob | None = None


class Sampler:
    """Draws the tokens of one answer. Its penalties count the tokens that it drew."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary: int, raw: TokenBytes) -> None:
        self._sampling, self._raw = sampling, raw
        self._random = np.random.default_rng(None if sampling.seed is None else sampling.seed % (1 << 63))
        self._bias = _bias(sampling)
        penalized = sampling.presence_penalty or sampling.frequency_penalty
        self._counts = np.zeros(vocabulary, np.float32) if penalized else None
        self._seen = np.zeros(vocabulary, bool) if sampling.repetition_penalty != 1.0 else None
        if self._seen is not None:
            self._seen[list(prompt)] = True

    def draw(self, logits: Any, allowed: Mask | None = None) -> Drawn:
        """A token of float32 logits [vocabulary], which are left as they are.

        Args:
            allowed: bool [vocabulary]; None: all.

        Raises Unavailable where the model answers with NaN or infinity.
        """
        logits = np.asarray(logits)
        scores = self._scores(logits, allowed)
        best = int(scores.argmax())
        if not math.isfinite(float(scores[best])):
            raise Unavailable("the model has no finite answer to this prompt")
        token = best if self._sampling.temperature == 0 else self._drawn(scores)
        self._count(token)
        return Drawn(token=token, logprob=self._logprob(logits, token))

    def _scores(self, logits: Floats, allowed: Mask | None) -> Floats:
        scores = logits
        given = self._sampling
        if self._seen is not None:  # Keskar et al. 2019, section 4.1
            by = given.repetition_penalty
            scores = np.where(self._seen, np.where(scores > 0, scores / by, scores * by), scores)
        if self._counts is not None:
            scores = scores - given.frequency_penalty * self._counts
            scores = scores - given.presence_penalty * (self._counts > 0)
        if self._bias is not None:
            tokens, values = self._bias
            scores = scores.copy()
            scores[tokens] += values
        return scores if allowed is None else np.where(allowed, scores, -math.inf)

    def _drawn(self, scores: Floats) -> int:
        given = self._sampling
        scores = scores.astype(np.float64) / given.temperature
        if not (given.top_k or given.top_p < 1.0):
            if given.min_p:
                scores = np.where(scores < scores.max() + math.log(given.min_p), -math.inf, scores)
            return self._pick(np.exp(scores - scores.max()))
        kept, ids = _likeliest(scores, given.top_k, given.top_p)
        shares = np.exp(kept - (log_sum(kept) if given.top_k else log_sum(scores)))
        keep = (shares.cumsum() - shares < given.top_p) & (shares >= given.min_p * shares[0])
        keep[0] = True
        return int(ids[self._pick(shares * keep)])

    def _pick(self, weights: Floats) -> int:
        """A place, with a chance of its weight's share."""
        sums = weights.cumsum()
        place = int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))
        return min(place, int(np.flatnonzero(weights)[-1]))

    def _count(self, token: int) -> None:
        if self._counts is not None:
            self._counts[token] += 1
        if self._seen is not None:
            self._seen[token] = True

    def _logprob(self, logits: Floats, token: int) -> TokenLogprob | None:
        wanted = self._sampling.logprobs
        if wanted is None:
            return None
        logits = logits.astype(np.float64)
        whole = log_sum(logits)
        values, ids = _sorted(logits, wanted)
        top = tuple(self._told(i, v - whole) for i, v in zip(ids.tolist(), values.tolist(), strict=True))
        return self._told(token, float(logits[token]) - whole, top)

    def _told(self, token: int, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        raw = self._raw[token]
        return TokenLogprob(token=raw.decode("utf-8", "replace"), logprob=logprob, raw=raw, top=top)


def log_sum(scores: Floats) -> float:
    """The logarithm of the sum of exp(scores)."""
    largest = scores.max()
    return float(largest + np.log(np.exp(scores - largest).sum()))


def _bias(sampling: Sampling) -> tuple[npt.NDArray[np.int64], Floats] | None:
    if not sampling.logit_bias:
        return None
    tokens = np.array(list(sampling.logit_bias), np.int64)
    return tokens, np.array(list(sampling.logit_bias.values()), np.float32)


def _likeliest(scores: Floats, top_k: int, top_p: float) -> tuple[Floats, npt.NDArray[np.intp]]:
    """The scores that top_k and top_p can keep, falling, with their ids."""
    size = len(scores)
    if top_k:
        return _sorted(scores, top_k)
    kept = _sorted(scores, _LIKELIEST)
    if len(kept[0]) < size and float(np.exp(kept[0] - log_sum(scores)).sum()) < top_p:
        kept = _sorted(scores, size)
    return kept


def _sorted(scores: Floats, most: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """The largest, falling, with their places."""
    size = len(scores)
    some = np.argpartition(scores, size - most)[size - most :] if 0 < most < size else np.arange(size)[:most]
    ids = some[np.argsort(-scores[some], kind="stable")]
    return scores[ids], ids
