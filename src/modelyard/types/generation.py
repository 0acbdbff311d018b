"""Generation: what engines that stream are asked, and what they answer piece by piece.

Neutral between dialects and engines: a dialect makes these of a request's body and a body of the answer's pieces.
"""

from typing import Any, Final, Literal

from msgspec import Struct

GENERATING: Final = frozenset({"text-generation", "automatic-speech-recognition"})
"""Tasks of which there are engines that batch by themselves and stream. Whether a version is served by one, its
formats say (`engines.table.GENERATORS`): speech is also recognised in batches."""

Finish = Literal["stop", "length", "tool_calls", "content_filter"]

MOST_TOP_LOGPROBS: Final = 20
MOST_CHOICES: Final = 16
MOST_STOPS: Final = 4
MOST_BEAMS: Final = 8


class Constraint(Struct, frozen=True, kw_only=True):
    """What the text must be: any JSON object, JSON of a schema, or a regular expression's match."""

    kind: Literal["json_object", "json_schema", "regex"]
    value: Any = None


class Sampling(Struct, frozen=True, kw_only=True):
    """How tokens are drawn.

    max_tokens     most tokens of the answer; None: as many as the context holds
    temperature    0: always the likeliest token
    top_k          0: of all tokens
    seed           the same request with it has the same answer on the same engine; None: drawn anew each time
    stop           texts at which the answer ends, none of them in it
    logit_bias     token id -> added to its logit, -100 to 100
    logprobs       how many likeliest tokens are told at each place besides the one drawn; None: none and no logprob
    ignore_eos     go on past the model's own end, to `max_tokens`
    num_beams      sequences that beam search keeps; with more than 1 nothing is drawn, and temperature is 0
    length_penalty the power of its length that a beam's log probability is divided by: above 1 for longer answers
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    logit_bias: dict[int, float] = {}
    logprobs: int | None = None
    ignore_eos: bool = False
    constraint: Constraint | None = None
    num_beams: int = 1
    length_penalty: float = 1.0


class TextRequest(Struct, frozen=True, kw_only=True):
    """One text to go on from, as text or as the model's own token ids. `special`: whether the text may hold the
    model's control tokens as text (a rendered chat template does), and brings its own first token."""

    prompt: str | tuple[int, ...]
    sampling: Sampling = Sampling()
    special: bool = False


class AudioRequest(Struct, frozen=True, kw_only=True):
    """Speech to be written down. `audio` is a file's bytes (wav, mp3, flac, ogg, m4a, webm).

    language      ISO 639-1; None: heard from the audio
    prompt        text that came before, or words that are to be expected
    translate     into English
    words         whether each word's time is wanted
    """

    audio: bytes
    language: str | None = None
    prompt: str | None = None
    temperature: float = 0.0
    translate: bool = False
    words: bool = False


class TokenLogprob(Struct, frozen=True, kw_only=True):
    """A token as text and bytes, its natural log probability, and the likeliest ones at its place."""

    token: str
    logprob: float
    raw: bytes = b""
    top: "tuple[TokenLogprob, ...]" = ()


class Word(Struct, frozen=True, kw_only=True):
    """A spoken word; times in seconds from the audio's beginning."""

    word: str
    start: float
    end: float


class Segment(Struct, frozen=True, kw_only=True):
    """A stretch of speech; times in seconds."""

    id: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...] = ()
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0
    words: tuple[Word, ...] = ()


class Delta(Struct, frozen=True, kw_only=True):
    """One piece of an answer. Texts are whole characters: a token that ends within one waits for the next.

    tokens    how many tokens this piece has; more than one where they came together
    prompt    tokens of the prompt, in the first piece that knows (0 before), `cached` of them not computed anew
    finish    in the last piece, why the answer ended
    language, duration   of audio: what was heard, seconds of it
    """

    text: str = ""
    tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt: int = 0
    cached: int = 0
    finish: Finish | None = None
    segment: Segment | None = None
    language: str | None = None
    duration: float | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of a request, summed over its choices; the prompt counts once a request."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class Abilities(Struct, frozen=True, kw_only=True):
    """What a generator can do; what it cannot is refused before it is asked, naming the engine.

    name          the engine's, as callers read it
    takes         "text" or "audio"
    slots         sequences at a time: no more are ever asked of it
    context       most tokens of a sequence, prompt and answer together (0: of audio, none)
    top_logprobs  most alternatives that it tells at a place; 0: the token's own logprob alone; None: no logprobs
    logit_bias, constraints   whether it takes these
    beams         most beams of a search; 1: none is searched
    """

    name: str
    takes: Literal["text", "audio"]
    slots: int
    context: int = 0
    top_logprobs: int | None = None
    logit_bias: bool = False
    constraints: tuple[Literal["json_object", "json_schema", "regex"], ...] = ()
    beams: int = 1
