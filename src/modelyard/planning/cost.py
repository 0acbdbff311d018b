"""Cost: tokens a second of the whole hardware, and what a token costs."""

from msgspec import Struct

from modelyard.planning.parallelism import Layout
from modelyard.planning.request import Request
from modelyard.planning.speed import Step


class Cost(Struct, frozen=True, kw_only=True):
    """Rates are tokens a second of all copies together, at the planned streams, all of the time.

    first          seconds to the first token of a prompt that comes alone
    stream         answer's tokens a second of one stream, while the others' prompts come between
    answers        answers' tokens a second where prompts are computed besides; `decoding`: where none is
    prompts        prompts' tokens a second where nothing else is done
    hour           of all accelerators
    million_prompt, million_answer, million_all   a million tokens: of prompts; of answers, decoding alone; of
                   answers with their prompts' part
    """

    first: float
    stream: float
    answers: float
    decoding: float
    prompts: float
    hour: float
    million_prompt: float
    million_answer: float
    million_all: float


def cost_of(decode: Step, prefill: Step, request: Request, layout: Layout, lengths: tuple[int, int]) -> Cost:
    """Of prompts and answers of `lengths` tokens.

    While a copy makes the answers of its n streams, A steps, it computes n prompts, each of which keeps the slowest
    stage busy: n A tokens in A x step + n x busy seconds."""
    prompt, answer = lengths
    own = request.streams / layout.replicas
    seconds = answer * decode.seconds + own * prefill.busy
    answers = request.streams * answer / seconds
    decoding = request.streams / decode.seconds
    prompts = layout.replicas * prompt / prefill.busy
    hour = request.count * request.hardware.price
    return Cost(
        first=prefill.seconds,
        stream=answer / seconds,
        answers=answers,
        decoding=decoding,
        prompts=prompts,
        hour=hour,
        million_prompt=_million(hour, prompts),
        million_answer=_million(hour, decoding),
        million_all=_million(hour, answers),
    )


def _million(hour: float, rate: float) -> float:
    return hour / 3600 / rate * 1e6
