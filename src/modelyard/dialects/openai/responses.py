"""`POST /v1/responses`, the basic form: text or messages in, a text out, whole or as events. Nothing is kept."""

import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from modelyard.dialects.contract import Address, Request, Response, Served
from modelyard.dialects.openai import chat, sse, tools
from modelyard.dialects.openai.fields import (
    JsonSchema,
    Probability,
    ResponseFormat,
    SamplingFields,
    Tokens,
    check_length,
    check_takes_text,
    read,
    sampling,
)
from modelyard.dialects.openai.shape import error as shape_error
from modelyard.dialects.openai.tools import Choice, Function, Named, Tool
from modelyard.errors import InvalidInput, ModelyardError, NotFound
from modelyard.types.generation import Abilities, Delta, Finish, TextRequest, Usage

_ROLES: Final = ("system", "developer", "user", "assistant")


class Item(Struct, frozen=True, kw_only=True):
    """A message, a call of a function, or what a call gave."""

    type: str = "message"
    role: str | None = None
    content: str | list[chat.Part] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class TextFormat(Struct, frozen=True, kw_only=True):
    type: str = "text"
    name: str = ""
    schema: Any = None
    strict: bool | None = None


class Text(Struct, frozen=True, kw_only=True):
    format: TextFormat | None = None


class FlatTool(Struct, frozen=True, kw_only=True):
    """A function, without chat's inner object."""

    type: str
    name: tools.Name | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FlatChoice(Struct, frozen=True, kw_only=True):
    type: str
    name: str


class Body(Struct, frozen=True, kw_only=True):
    """See the API reference, "Create a model response"."""

    model: str
    input: str | Annotated[list[Item], Meta(min_length=1, max_length=4096)]
    instructions: str | None = None
    max_output_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    stream: bool | None = None
    text: Text | None = None
    tools: Annotated[list[FlatTool], Meta(max_length=128)] | None = None
    tool_choice: str | FlatChoice | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    conversation: Any = None
    metadata: dict[str, str] | None = None


class _Addressed(msgspec.Struct):
    model: str
    input: msgspec.Raw = msgspec.Raw(b"")
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    temperature: float | None = None


def address(body: bytes) -> Address:
    """Of a body on the gateway."""
    asked = read(body, _Addressed)
    return Address(
        model=asked.model,
        prompt=(asked.instructions or "").encode() + bytes(asked.input),
        most=asked.max_output_tokens,
        stream=bool(asked.stream),
        exact=asked.temperature == 0,
    )


def converse(request: Request, model: Served, abilities: Abilities) -> "ModelResponse":
    check_takes_text(model, abilities)
    body = read(request.body, Body)
    if model.chat is None:
        raise NotFound(f"model {model.name!r} does not chat")
    for name in ("previous_response_id", "background", "conversation"):
        if getattr(body, name):
            raise InvalidInput(f"{name}: responses are not kept here; send the whole conversation as input")
    plan = tools.plan(_tools(body.tools), _choice(body.tool_choice))
    prompt = model.chat.render(_messages(body), tools=plan.shown, add_generation_prompt=True)
    check_length(prompt, abilities)
    fields = SamplingFields(
        model=body.model, temperature=body.temperature, top_p=body.top_p, response_format=_format(body.text)
    )
    given = sampling(fields, abilities, most=body.max_output_tokens, logprobs=None)
    constraint = plan.constraint or given.constraint
    if constraint is not None and constraint.kind not in abilities.constraints:
        raise InvalidInput(f"tool_choice: the engine {abilities.name} cannot be made to call a tool")
    given = msgspec.structs.replace(given, stop=(*given.stop, *model.chat.stops), constraint=constraint)
    asked = TextRequest(prompt=prompt, sampling=given, special=True)
    return ModelResponse(body, model, asked, tools.reader(plan))


def _messages(body: Body) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if body.instructions:
        messages.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        return [*messages, {"role": "user", "content": body.input}]
    return messages + [_message(item, number) for number, item in enumerate(body.input)]


def _message(item: Item, number: int) -> dict[str, Any]:
    where = f"input[{number}]"
    if item.type == "function_call":
        call = {"id": item.call_id, "function": {"name": item.name, "arguments": item.arguments or "{}"}}
        return {"role": "assistant", "content": "", "tool_calls": [tools.called(call, number)]}
    if item.type == "function_call_output":
        return {"role": "tool", "content": item.output or "", "tool_call_id": item.call_id or ""}
    if item.type != "message" or item.role not in _ROLES:
        raise InvalidInput(
            f"{where}: no message", came=f"type {item.type[:30]}, role {item.role}", allowed=", ".join(_ROLES)
        )
    content = chat.text_of(item.content, f"{where}.content")
    return {"role": "system" if item.role == "developer" else item.role, "content": content}


def _tools(given: list[FlatTool] | None) -> list[Tool] | None:
    if given is None:
        return None
    made = []
    for number, tool in enumerate(given):
        if tool.type != "function" or tool.name is None:
            raise InvalidInput(f"tools[{number}]: only functions are called", came=tool.type[:50])
        function = Function(name=tool.name, description=tool.description, parameters=tool.parameters)
        made.append(Tool(type="function", function=function))
    return made


def _choice(given: str | FlatChoice | None) -> Any:
    if isinstance(given, FlatChoice):
        return Choice(type="function", function=Named(name=given.name))
    if given not in (None, "none", "auto", "required"):
        raise InvalidInput("tool_choice", came=str(given)[:50], allowed="none, auto, required, a function")
    return given


def _format(text: Text | None) -> ResponseFormat | None:
    form = text.format if text is not None else None
    if form is None:
        return None
    inner = JsonSchema(name=form.name, schema=form.schema) if form.type == "json_schema" else None
    return ResponseFormat(type=form.type, json_schema=inner)


class ModelResponse:
    """See `dialects.contract.Conversation`. Events are those of the API reference, "Streaming"."""

    content_type = sse.CONTENT_TYPE

    def __init__(self, body: Body, model: Served, asked: TextRequest, reader: tools.Reader | None) -> None:
        self.requests = (asked,)
        self.stream = bool(body.stream)
        self._body, self._model, self._reader = body, model, reader
        self._id, self._item = f"resp_{secrets.token_hex(16)}", f"msg_{secrets.token_hex(16)}"
        self._created = time.time()
        self._text = ""
        self._finish: Finish | None = None
        self._number = 0
        self._stage = ""

    def piece(self, choice: int, delta: Delta) -> bytes:
        text = (
            delta.text
            if self._reader is None
            else self._reader.take(delta.text, last=delta.finish is not None)
        )
        self._text += text
        self._finish = delta.finish or self._finish
        if not self.stream:
            return b""
        sent = b""
        if not self._stage:
            self._stage = "created"
            for kind in ("response.created", "response.in_progress"):
                sent += self._event(kind, {"response": self._told("in_progress", None)})
        if text:
            sent += self._opened()
            sent += self._event(
                "response.output_text.delta", {**self._place(), "delta": text, "logprobs": []}
            )
        return sent

    def close(self, usage: Usage) -> bytes:
        sent = b""
        if self._text:
            part = self._part()
            sent += self._event(
                "response.output_text.done", {**self._place(), "text": self._text, "logprobs": []}
            )
            sent += self._event("response.content_part.done", {**self._place(), "part": part})
            sent += self._event("response.output_item.done", {"output_index": 0, "item": self._message()})
        for number, call in enumerate(self._calls(), start=1 if self._text else 0):
            sent += self._event("response.output_item.added", {"output_index": number, "item": call})
            told = {"item_id": call["id"], "output_index": number, "arguments": call["arguments"]}
            sent += self._event("response.function_call_arguments.done", {**told, "name": call["name"]})
            sent += self._event("response.output_item.done", {"output_index": number, "item": call})
        kind = "response.incomplete" if self._finish == "length" else "response.completed"
        return sent + self._event(kind, {"response": self._told(kind.partition(".")[2], usage)})

    def whole(self, usage: Usage) -> Response:
        status = "incomplete" if self._finish == "length" else "completed"
        return Response(200, msgspec.json.encode(self._told(status, usage)))

    def broken(self, error: ModelyardError) -> bytes:
        told = msgspec.json.decode(shape_error(500, error.code, error.message).body)["error"]
        return self._event("error", {"code": told["code"], "message": told["message"], "param": None})

    def _opened(self) -> bytes:
        if self._stage == "open":
            return b""
        self._stage = "open"
        item = {
            "id": self._item,
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        part = {"type": "output_text", "text": "", "annotations": []}
        return self._event("response.output_item.added", {"output_index": 0, "item": item}) + self._event(
            "response.content_part.added", {**self._place(), "part": part}
        )

    def _event(self, kind: str, told: Mapping[str, Any]) -> bytes:
        value = {"type": kind, "sequence_number": self._number, **told}
        self._number += 1
        return b"event: %b\n" % kind.encode() + sse.event(value)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": self._text, "annotations": []}

    def _message(self) -> dict[str, Any]:
        status = "incomplete" if self._finish == "length" else "completed"
        told = {"id": self._item, "type": "message", "role": "assistant", "status": status}
        return {**told, "content": [self._part()]}

    def _calls(self) -> list[dict[str, Any]]:
        return [
            {
                "type": "function_call",
                "id": f"fc_{call['id'][5:]}",
                "call_id": call["id"],
                "name": call["function"]["name"],
                "arguments": call["function"]["arguments"],
                "status": "completed",
            }
            for call in (self._reader.calls if self._reader is not None else [])
        ]

    def _told(self, status: str, usage: Usage | None) -> dict[str, Any]:
        body = self._body
        calls = self._calls() if usage is not None else []
        output = ([self._message()] if usage is not None and (self._text or not calls) else []) + calls
        used = None
        if usage is not None:
            used = {
                "input_tokens": usage.prompt,
                "input_tokens_details": {"cached_tokens": usage.cached},
                "output_tokens": usage.completion,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.prompt + usage.completion,
            }
        return {
            "id": self._id,
            "object": "response",
            "created_at": int(self._created),
            "status": status,
            "model": self._model.name,
            "output": output,
            "usage": used,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "tool_choice": body.tool_choice if isinstance(body.tool_choice, str) else "auto",
            "tools": [],
        }
