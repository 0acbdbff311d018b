"""Beam search: one request for which several sequences are kept, the likeliest of all that go on from them.

As Hugging Face does it (generation/utils.py, `_beam_search` with early_stopping false): of twice as many
continuations as there are beams the best that are not over stay; a whole answer's log probability is divided by its
length to the power of `length_penalty` (Wu et al. 2016, section 7, has another divisor to the same end); it is over
when no beam can become better than the worst whole answer that is kept.
"""

import math
from typing import Any, Final

import numpy as np

from modelyard.engines.pieces import StopTexts
from modelyard.engines.stepping.sequence import Asked
from modelyard.engines.streams import Stream
from modelyard.errors import Unavailable
from modelyard.types.generation import Delta, Finish

_Answer = tuple[int, ...]
_SHORTEST: Final = 1  # token, of what a length is


class Beaming:
    """See `loop.Sequence`. The answer is one piece, at its end."""

    def __init__(self, stream: Stream, asked: Asked) -> None:
        self.stream, self.asked = stream, asked
        self.rows: list[Any] = []
        self.last: tuple[int, ...] = ()
        self.parents: tuple[int, ...] = ()
        self.finish: Finish | None = None
        self._width = asked.sampling.num_beams
        self._scores = np.zeros(1)
        self._answers: list[_Answer] = [()]
        self._whole: list[tuple[float, _Answer]] = []  # those that are over, the best first

    def take(self, logits: Any) -> Delta | None:
        """Go on with logits [rows, vocabulary]. Raises Unavailable where they are not finite."""
        scores = _log_shares(np.asarray(logits, np.float64)) + self._scores[:, None]
        most = self._width * (1 + len(self.asked.ends))
        flat = scores.ravel()
        best = np.argpartition(-flat, min(most, len(flat) - 1))[:most]
        best = best[np.argsort(-flat[best], kind="stable")]
        if not math.isfinite(float(flat[best[0]])):
            raise Unavailable("the model has no finite answer to this prompt")
        self._advance([(*divmod(int(place), scores.shape[1]), float(flat[place])) for place in best])
        if self._is_over():
            return self._told("stop")
        if len(self._answers[0]) >= self.asked.room:
            for answer, score in zip(self._answers, self._scores.tolist(), strict=True):
                self._keep(answer, score, len(answer))
            return self._told("length")
        return None

    def _advance(self, candidates: list[tuple[int, int, float]]) -> None:
        """`candidates` are (parent, token, score), falling."""
        live: list[tuple[int, int, float]] = []
        for rank, (parent, token, score) in enumerate(candidates):
            if token in self.asked.ends:
                if rank < self._width:
                    answer = self._answers[parent]
                    self._keep(answer, score, len(answer) + 1)
            elif len(live) < self._width:
                live.append((parent, token, score))
        self._answers = [(*self._answers[parent], token) for parent, token, _ in live]
        self._scores = np.array([score for _, _, score in live])
        self.parents = tuple(parent for parent, _, _ in live)
        self.last = tuple(token for _, token, _ in live)

    def _keep(self, answer: _Answer, score: float, length: int) -> None:
        self._whole.append((self._weighed(score, length), answer))
        self._whole.sort(key=lambda one: -one[0])
        del self._whole[self._width :]

    def _weighed(self, score: float, length: int) -> float:
        weighed: float = score / max(length, _SHORTEST) ** self.asked.sampling.length_penalty
        return weighed

    def _is_over(self) -> bool:
        if not self._answers:
            return True
        if len(self._whole) < self._width:
            return False
        return self._whole[-1][0] >= self._weighed(float(self._scores.max()), len(self._answers[0]))

    def _told(self, finish: Finish) -> Delta:
        answer = self._whole[0][1]
        stops = StopTexts(self.asked.sampling.stop)
        text, stopped = stops.push(self.asked.decode(answer))
        self.finish = "stop" if stopped else finish
        return Delta(
            text=text if stopped else text + stops.rest(),
            tokens=len(answer),
            prompt=self.asked.prompt,
            finish=self.finish,
        )


def _log_shares(logits: Any) -> Any:
    """Log probabilities [rows, vocabulary]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
