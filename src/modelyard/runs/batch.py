"""batch: every request of a file to the gateway, each answered once, however often the run is interrupted.

What it makes stays in checkpoints/ (`runs.batch_answers`): control takes it over at whatever end the run comes to,
so that a batch that was cancelled keeps what was answered.
"""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from modelyard.errors import InvalidInput
from modelyard.runs.batch_answers import Answers
from modelyard.runs.batch_lines import INPUT, find_errors, read_file
from modelyard.runs.batch_sending import Sending, Target
from modelyard.runs.context import RunContext
from modelyard.types.run import RunOutcome

_SAID: Final = 5  # errors in the message itself


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    endpoint    the path of the gateway that every request is for
    expires_at  seconds since the epoch, after which no request is sent
    at_once     requests on their way at one time
    """

    endpoint: str
    expires_at: float
    at_once: Annotated[int, Meta(ge=1, le=256)] = 16


def run(context: RunContext) -> RunOutcome:
    """Check the file, then answer it. Raises Cancelled, InvalidInput where there is no gateway to ask."""
    params, path = context.params(Params), context.input("sources") / INPUT
    if not context.spec.gateway_url:
        raise InvalidInput("a batch needs the address of a gateway")
    with path.open("rb") as file:
        total, errors = find_errors(file, params.endpoint)
    if errors:
        found: list[dict[str, Any]] = [
            {"code": e.reason, "line": e.line, "message": e.said, "param": e.field} for e in errors
        ]
        message = "; ".join(e.message for e in errors[:_SAID])
        return RunOutcome(
            state="failed", error={"code": "invalid_input", "message": message, "errors": found}
        )
    return _answer(context, params, path, total)


def _answer(context: RunContext, params: Params, path: Path, total: int) -> RunOutcome:
    target = Target(
        url=context.spec.gateway_url,
        key=context.spec.gateway_key,
        at_once=params.at_once,
        expires_at=params.expires_at,
    )
    with Answers(context.checkpoints) as answers:
        sending = Sending(target, answers, context.reporter, total)
        with path.open("rb") as file:
            in_time = sending.run(read_file(file))
        if not in_time:
            with path.open("rb") as file:
                sending.expire(read_file(file))
        summary = {"requests": total, "model": _model_of(path), **answers.tally.figures()}
    return RunOutcome(state="succeeded", summary=summary | ({} if in_time else {"expired": True}))


def _model_of(path: Path) -> str:
    """The first request's."""
    with path.open("rb") as file:
        line = next(islice(read_file(file), 1))
    return msgspec.json.decode(line.body, type=_Named).model


class _Named(Struct, frozen=True):
    model: str
