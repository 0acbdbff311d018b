"""One answer of the openvino engine, from its tokens to pieces of text."""

from collections.abc import Sequence
from typing import Any

from modelyard.engines.openvino_messages import Piece
from modelyard.engines.pieces import Detokenizer, StopTexts
from modelyard.engines.streams import Item, Stream
from modelyard.engines.vocabulary import Vocabulary
from modelyard.errors import Unavailable
from modelyard.types.generation import Delta, Finish, Sampling, TokenLogprob


class Answer:
    """Made on the event loop; `take` is called by one other thread."""

    def __init__(self, prompt: Sequence[int], sampling: Sampling, vocabulary: Vocabulary) -> None:
        self.stream = Stream()
        self._vocabulary, self._sampling = vocabulary, sampling
        self._prompt = len(prompt)
        self._words = Detokenizer(vocabulary.decode, prompt)
        self._stops = StopTexts(sampling.stop)
        self._tokens = 0
        self._logprobs: list[TokenLogprob] = []

    def take(self, piece: Piece) -> tuple[Item | None, bool]:
        """What to say now, and whether the engine is to stop."""
        if piece.finish == "lost":
            return Unavailable("the engine ran out of memory for this answer"), False
        tokens, logprobs = piece.tokens, piece.logprobs
        if piece.finish == "stop" and tokens and not self._sampling.ignore_eos:
            tokens, logprobs = tokens[:-1], logprobs[:-1]  # the model's own end is none of the answer's
        self._count(tokens, logprobs)
        text, stopped = self._text(tokens, ended=bool(piece.finish))
        finish: Finish | None = "stop" if stopped else _finish(piece.finish)
        known = {"prompt": self._prompt, "cached": piece.cached} if piece.cached >= 0 else {}
        if not (text or finish or known):
            return None, False
        return self._delta(text, finish, known), stopped and not piece.finish

    def _text(self, tokens: list[int], *, ended: bool) -> tuple[str, bool]:
        text = "".join(map(self._words.push, tokens))
        if ended:
            text += self._words.rest()
        text, stopped = self._stops.push(text)
        if ended and not stopped:
            text += self._stops.rest()
        return text, stopped

    def _count(self, tokens: list[int], logprobs: list[float]) -> None:
        self._tokens += len(tokens)
        if self._sampling.logprobs is not None:
            for token, logprob in zip(tokens, logprobs, strict=False):
                raw = self._vocabulary.bytes_of[token]
                text = raw.decode(errors="replace")
                self._logprobs.append(TokenLogprob(token=text, logprob=max(logprob, -9999.0), raw=raw))

    def _delta(self, text: str, finish: Finish | None, known: dict[str, Any]) -> Delta:
        if not text and finish is None:  # tokens wait with their text
            return Delta(**known)
        said = self._logprobs if finish != "stop" else _of(text, self._logprobs)
        delta = Delta(text=text, tokens=self._tokens, logprobs=tuple(said), finish=finish, **known)
        self._tokens, self._logprobs = 0, []
        return delta


def _finish(name: str) -> Finish | None:
    return "length" if name == "length" else "stop" if name else None


def _of(text: str, logprobs: list[TokenLogprob]) -> list[TokenLogprob]:
    """Those whose token begins within a text that was cut short."""
    kept: list[TokenLogprob] = []
    length = 0
    for one in logprobs:
        if length >= len(text):
            break
        kept.append(one)
        length += max(len(one.token), 1)
    return kept
