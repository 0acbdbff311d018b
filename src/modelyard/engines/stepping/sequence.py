"""One request while it is generated: from drawn tokens to pieces of text, and when it ends."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.engines.pieces import Detokenizer, StopTexts
from modelyard.engines.stepping.constraints import Matcher
from modelyard.engines.stepping.sampling import Drawn, Sampler
from modelyard.engines.streams import Stream
from modelyard.types.generation import Delta, Finish, Sampling, TokenLogprob


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request in tokens. `room` is the most tokens of the answer, at least 1; `ends` are the model's own. Of
    models with an encoder `source` is what that reads, and `ids` only begins the answer."""

    ids: tuple[int, ...]
    sampling: Sampling
    room: int
    ends: Collection[int]
    decode: Callable[[Sequence[int]], str]
    matcher: Matcher | None = None
    source: tuple[int, ...] = ()

    @property
    def prompt(self) -> int:
        """Tokens of what came."""
        return len(self.source or self.ids)


class Running:
    """One sequence. `rows` (one) are in the batch from the moment that the prompt is read, `last` are the tokens
    that they compute next; `parents` says where they are to go on from, of beams."""

    parents: tuple[int, ...] = ()

    def __init__(self, stream: Stream, asked: Asked, sampler: Sampler) -> None:
        self.stream, self.asked = stream, asked
        self.rows: list[Any] = []
        self.last: tuple[int, ...] = ()
        self.finish: Finish | None = None
        self._sampler, self._matcher = sampler, asked.matcher
        self._detokenizer = Detokenizer(asked.decode, asked.ids)
        self._stops = StopTexts(asked.sampling.stop)
        self._drawn = 0
        self._untold = 0  # tokens
        self._text = 0  # characters that all tokens together have
        self._sent = 0  # characters that were told
        self._places: deque[tuple[int, int, TokenLogprob]] = (
            deque()
        )  # where each token's text begins and ends
        self._begun = False

    def take(self, logits: Any) -> Delta | None:
        """Draw a token of logits [1, vocabulary]. A piece, where there is something to tell; the last has `finish`.

        Raises Unavailable."""
        drawn = self._sampler.draw(logits[0], self._matcher.allowed() if self._matcher is not None else None)
        self.last = (drawn.token,)
        self._drawn += 1
        self._untold += 1
        whole = self._matcher is not None and self._matcher.take(drawn.token)
        if drawn.token in self.asked.ends and (whole or not self.asked.sampling.ignore_eos):
            return self._ended("stop", "")
        text, stopped = self._told(drawn)
        if stopped:
            self.finish = "stop"
            return self._piece(text, lambda begin, end: begin < self._sent)
        if whole:
            return self._ended("stop", text)
        if self._drawn >= self.asked.room:
            return self._ended("length", text)
        return self._piece(text, lambda begin, end: end <= self._sent) if text else None

    def _told(self, drawn: Drawn) -> tuple[str, bool]:
        new = self._detokenizer.push(drawn.token)
        if drawn.logprob is not None:
            self._places.append((self._text, self._text + len(new), drawn.logprob))
        self._text += len(new)
        return self._stops.push(new)

    def _ended(self, finish: Finish, text: str) -> Delta:
        """With what still waits for the rest of a character or of a stop."""
        rest, stopped = self._stops.push(self._detokenizer.rest())
        self.finish = "stop" if stopped else finish
        return self._piece(text + rest + self._stops.rest(), lambda begin, end: True)

    def _piece(self, text: str, is_told: Callable[[int, int], bool]) -> Delta:
        self._sent += len(text)
        logprobs = []
        while self._places and is_told(self._places[0][0], self._places[0][1]):
            logprobs.append(self._places.popleft()[2])
        piece = Delta(
            text=text,
            tokens=self._untold,
            logprobs=tuple(logprobs),
            prompt=0 if self._begun else self.asked.prompt,
            finish=self.finish,
        )
        self._begun, self._untold = True, 0
        return piece
