"""Fields that operations share, and reading a body into a struct with an error that names the field."""

import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from modelyard.dialects.contract import Served
from modelyard.dialects.openai.schema import check_schema
from modelyard.errors import InvalidInput, NotFound
from modelyard.types.generation import (
    MOST_CHOICES,
    MOST_STOPS,
    MOST_TOP_LOGPROBS,
    Abilities,
    Constraint,
    Sampling,
)

_T = TypeVar("_T")

Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=1, le=MOST_CHOICES)]
Tokens = Annotated[int, Meta(ge=1, le=1 << 30)]
Stop = Annotated[str, Meta(min_length=1, max_length=1000)]
Stops = Stop | Annotated[list[Stop], Meta(max_length=MOST_STOPS)] | None
Bias = Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)]
_MOST_BYTES_A_TOKEN: Final = 64
_WHERE: Final = re.compile(r" - at `\$\.?(.*)`$")


class StreamOptions(Struct, frozen=True, kw_only=True):
    include_usage: bool | None = None


class JsonSchema(Struct, frozen=True, kw_only=True):
    name: str = ""
    schema: Any = None
    strict: bool | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True):
    type: str
    json_schema: JsonSchema | None = None


class SamplingFields(Struct, frozen=True, kw_only=True):
    """What chat and completions share. Those after `ignore_eos` are what other servers of this API take besides."""

    model: str
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    n: Count | None = None
    stop: Stops = None
    seed: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Bias | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    ignore_eos: bool | None = None
    top_k: Annotated[int, Meta(ge=-1, le=1 << 20)] | None = None
    min_p: Probability | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None


def read(body: memoryview | bytes, struct: type[_T]) -> _T:
    """The body as `struct`. Raises InvalidInput naming the field."""
    try:
        return msgspec.json.decode(body, type=struct)
    except msgspec.ValidationError as error:
        text = str(error)
        where = _WHERE.search(text)
        field = where.group(1) if where else ""
        what = f"{field or 'the body'}: {_WHERE.sub('', text)}"
        raise InvalidInput(what) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            "the body is not valid JSON", came=str(error)[:100] or type(error).__name__
        ) from None


def sampling(
    fields: SamplingFields, abilities: Abilities, *, most: int | None, logprobs: int | None
) -> Sampling:
    """Raises InvalidInput for what the model's engine cannot do, naming the field and the engine."""
    if most is not None and most > abilities.context:
        raise InvalidInput(
            "max_tokens is more than the model's context", came=most, allowed=f"1 to {abilities.context}"
        )
    _check(abilities, fields, logprobs)
    constraint = _constraint(fields.response_format)
    if constraint is not None and constraint.kind not in abilities.constraints:
        raise InvalidInput(
            f"response_format: the engine {abilities.name} does not do this",
            came=constraint.kind,
            allowed=["text", *abilities.constraints],
        )
    stops = fields.stop or ()
    return Sampling(
        max_tokens=most,
        temperature=1.0 if fields.temperature is None else fields.temperature,
        top_p=1.0 if fields.top_p is None else fields.top_p,
        top_k=max(fields.top_k or 0, 0),
        min_p=fields.min_p or 0.0,
        seed=fields.seed,
        presence_penalty=fields.presence_penalty or 0.0,
        frequency_penalty=fields.frequency_penalty or 0.0,
        repetition_penalty=fields.repetition_penalty or 1.0,
        stop=(stops,) if isinstance(stops, str) else tuple(stops),
        logit_bias=_bias(fields.logit_bias),
        logprobs=logprobs,
        ignore_eos=bool(fields.ignore_eos),
        constraint=constraint,
    )


def check_takes_text(model: Served, abilities: Abilities) -> None:
    """Raises NotFound."""
    if abilities.takes != "text" or model.task.name != "text-generation":
        raise NotFound(f"model {model.name!r} does not generate text; its task is {model.task.name}")


def check_length(text: str, abilities: Abilities) -> None:
    """Before anything counts its tokens: no token is longer than 64 bytes. Raises InvalidInput."""
    most = abilities.context * _MOST_BYTES_A_TOKEN
    if len(text) > most:
        raise InvalidInput(
            "the prompt is longer than the model's context",
            came=f"{len(text):,} characters",
            allowed=f"{abilities.context} tokens, the answer's included",
        )


def wants_usage(fields: SamplingFields) -> bool:
    """Raises InvalidInput for options of a stream without one."""
    if fields.stream_options is None:
        return False
    if not fields.stream:
        raise InvalidInput("stream_options: only allowed with stream: true")
    return bool(fields.stream_options.include_usage)


def spread(given: Sampling, count: int) -> list[Sampling]:
    """The sampling of each choice: alike but for their seeds."""
    if given.seed is None or count == 1:
        return [given] * count
    return [msgspec.structs.replace(given, seed=given.seed + choice) for choice in range(count)]


def _check(abilities: Abilities, fields: SamplingFields, logprobs: int | None) -> None:
    if fields.logit_bias and not abilities.logit_bias:
        raise InvalidInput(f"logit_bias: the engine {abilities.name} does not take it")
    if logprobs is None:
        return
    if abilities.top_logprobs is None:
        raise InvalidInput(f"logprobs: the engine {abilities.name} does not tell them")
    if logprobs > abilities.top_logprobs:
        raise InvalidInput(
            f"top_logprobs: the engine {abilities.name} tells fewer",
            came=logprobs,
            allowed=f"0 to {min(abilities.top_logprobs, MOST_TOP_LOGPROBS)}",
        )


def _bias(given: dict[str, float] | None) -> dict[int, float]:
    if not given:
        return {}
    for key in given:
        if not (key.isascii() and key.isdigit() and len(key) <= 9):
            raise InvalidInput("logit_bias: a key is no token id", came=key[:50], allowed="0, 1, 2, ...")
    return {int(key): value for key, value in given.items()}


def _constraint(form: ResponseFormat | None) -> Constraint | None:
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return Constraint(kind="json_object")
    if form.type != "json_schema":
        raise InvalidInput(
            "response_format.type", came=form.type[:50], allowed=["text", "json_object", "json_schema"]
        )
    if form.json_schema is None or form.json_schema.schema is None:
        raise InvalidInput("response_format.json_schema.schema is missing")
    return Constraint(kind="json_schema", value=check_schema(form.json_schema.schema))
