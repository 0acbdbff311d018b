"""Request: what a plan is asked for."""

from typing import Final

from msgspec import Struct

from modelyard.errors import InvalidInput
from modelyard.planning.hardware import MOST, Hardware
from modelyard.planning.shapes import Shape
from modelyard.planning.speed import EFFICIENCY

LONGEST: Final = 1 << 24
MOST_STREAMS: Final = 1 << 16
_ANSWER: Final = 512


class Request(Struct, frozen=True, kw_only=True):
    """What is asked. `count` accelerators of `hardware`; `context` tokens of a sequence, the last `answer` of them
    generated; `streams` sequences at a time. `tensor` and `pipeline` None: chosen."""

    shape: Shape
    hardware: Hardware
    count: int = 1
    context: int = 8192
    answer: int | None = None
    streams: int = 16
    precision: str | None = None
    kv_precision: str = "bf16"
    tensor: int | None = None
    pipeline: int | None = None
    efficiency: float = EFFICIENCY


def answer_of(request: Request) -> int:
    """The answer's tokens. Raises InvalidInput for a request that no plan is made of."""
    _within("context", request.context, 2, LONGEST)
    _within("streams", request.streams, 1, MOST_STREAMS)
    _within("accelerators", request.count, 1, MOST)
    if not 0 < request.efficiency <= 1:
        raise InvalidInput(
            "not a share of the roofline", came=request.efficiency, allowed="more than 0, at most 1"
        )
    answer = min(_ANSWER, request.context // 2) if request.answer is None else request.answer
    _within("tokens of an answer", answer, 1, request.context - 1)
    return answer


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidInput(f"not a number of {what}", came=value, allowed=f"{least:,} to {most:,}")
