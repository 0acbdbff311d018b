"""Logits into a token, as one request asks for it.

The order is Hugging Face's (generation/logits_process.py): penalties, biases, what a constraint forbids, then
temperature, top_k, top_p (Holtzman et al. 2020), min_p (Nguyen et al. 2024). Log probabilities are the model's own,
before all of that. A request draws from a generator of its own, so that a seed's answer does not depend on its
neighbours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from modelyard.engines.pieces import TokenBytes
from modelyard.errors import Unavailable
from modelyard.types.generation import Sampling, TokenLogprob

_LIKELIEST: Final = 1024
"""Tokens that are sorted for top_p before all are: a sort of the whole vocabulary takes longer than the rest."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """`logprob` where it was asked for."""

    token: int
    logprob: TokenLogprob | None = None


class Sampler:
    """Draws the tokens of one answer. Its penalties count the tokens that it drew."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary: int, raw: TokenBytes) -> None:
        self._sampling, self._raw = sampling, raw
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed % (1 << 63))
        self._bias = _bias(sampling)
        self._counts = (
            torch.zeros(vocabulary) if sampling.presence_penalty or sampling.frequency_penalty else None
        )
        self._seen = torch.zeros(vocabulary, dtype=torch.bool) if sampling.repetition_penalty != 1.0 else None
        if self._seen is not None:
            self._seen[torch.tensor(prompt)] = True

    def draw(self, logits: Tensor, allowed: Tensor | None = None) -> Drawn:
        """A token of float32 logits [vocabulary], which are left as they are.

        Args:
            allowed: bool [vocabulary]; None: all.

        Raises Unavailable where the model answers with NaN or infinity.
        """
        scores = self._scores(logits, allowed)
        best = int(scores.argmax())
        if not math.isfinite(float(scores[best])):
            raise Unavailable("the model has no finite answer to this prompt")
        token = best if self._sampling.temperature == 0 else self._random(scores)
        self._count(token)
        return Drawn(token=token, logprob=self._logprob(logits, token))

    def _scores(self, logits: Tensor, allowed: Tensor | None) -> Tensor:
        scores = logits
        given = self._sampling
        if self._seen is not None:  # Keskar et al. 2019, section 4.1
            by = given.repetition_penalty
            scores = torch.where(self._seen, torch.where(scores > 0, scores / by, scores * by), scores)
        if self._counts is not None:
            scores = scores - given.frequency_penalty * self._counts
            scores = scores - given.presence_penalty * (self._counts > 0)
        if self._bias is not None:
            scores = scores.index_add(0, *self._bias)
        return scores if allowed is None else scores.masked_fill(~allowed, -math.inf)

    def _random(self, scores: Tensor) -> int:
        given = self._sampling
        scores = scores.double() / given.temperature
        if not (given.top_k or given.top_p < 1.0):
            if given.min_p:
                scores = scores.masked_fill(scores < scores.max() + math.log(given.min_p), -math.inf)
            return self._pick((scores - scores.max()).exp())
        kept, ids = _likeliest(scores, given.top_k, given.top_p)
        shares = torch.softmax(kept, 0) if given.top_k else (kept - scores.logsumexp(0)).exp()
        keep = (shares.cumsum(0) - shares < given.top_p) & (shares >= given.min_p * shares[0])
        keep[0] = True
        return int(ids[self._pick(shares * keep)])

    def _pick(self, weights: Tensor) -> int:
        """A place, with a chance of its weight's share."""
        sums = weights.cumsum(0)
        at = torch.rand(1, generator=self._generator, dtype=torch.float64) * sums[-1]
        place = int(torch.searchsorted(sums, at, right=True))
        return min(place, int(weights.nonzero()[-1]))

    def _count(self, token: int) -> None:
        if self._counts is not None:
            self._counts[token] += 1
        if self._seen is not None:
            self._seen[token] = True

    def _logprob(self, logits: Tensor, token: int) -> TokenLogprob | None:
        wanted = self._sampling.logprobs
        if wanted is None:
            return None
        all_ = torch.log_softmax(logits, 0)
        values, ids = torch.topk(all_, min(wanted, len(all_)))
        top = tuple(self._told(i, v) for i, v in zip(ids.tolist(), values.tolist(), strict=True))
        return self._told(token, float(all_[token]), top)

    def _told(self, token: int, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        raw = self._raw[token]
        return TokenLogprob(token=raw.decode("utf-8", "replace"), logprob=logprob, raw=raw, top=top)


def _bias(sampling: Sampling) -> tuple[Tensor, Tensor] | None:
    if not sampling.logit_bias:
        return None
    return torch.tensor(list(sampling.logit_bias)), torch.tensor(list(sampling.logit_bias.values())).float()


def _likeliest(scores: Tensor, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """The scores that top_k and top_p can keep, falling, with their ids."""
    size = len(scores)
    if top_k:
        kept: tuple[Tensor, Tensor] = torch.topk(scores, min(top_k, size))
        return kept
    kept = torch.topk(scores, min(_LIKELIEST, size))
    if len(kept[0]) < size and float((kept[0] - scores.logsumexp(0)).exp().sum()) < top_p:
        kept = torch.sort(scores, descending=True)
    return kept
