"""Tools: how they are shown to a model, how it is made to call one, and how its text becomes calls.

Models that were trained for tools write a call as JSON with a name and arguments, most of them between marks
(Hermes and Qwen: <tool_call>; Mistral: [TOOL_CALLS]; Llama 3: nothing, or <|python_tag|>). Where a call is
demanded, the text is constrained to be one.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from modelyard.dialects.openai.schema import check_schema
from modelyard.errors import InvalidInput
from modelyard.types.generation import Constraint

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_MARKS: Final = ("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "<function_call>", "```json", "{", "[{")
_CLOSES: Final = ("</tool_call>", "</function_call>", "```")
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


class Function(Struct, frozen=True, kw_only=True):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True, kw_only=True):
    type: Literal["function"]
    function: Function


class Named(Struct, frozen=True, kw_only=True):
    name: str


class Choice(Struct, frozen=True, kw_only=True):
    type: Literal["function"]
    function: Named


ToolChoice = Literal["none", "auto", "required"] | Choice


class Tools(Struct, frozen=True, kw_only=True):
    """What a request's tools come to.

    shown       to the template; None: no tools
    names       that a call may have
    constraint  where a call is demanded
    """

    shown: list[dict[str, Any]] | None = None
    names: tuple[str, ...] = ()
    constraint: Constraint | None = None


def plan(tools: Sequence[Tool] | None, choice: ToolChoice | None) -> Tools:
    """Raises InvalidInput for a choice that is none of the tools, and for schemas that are none."""
    if not tools:
        if choice not in (None, "none", "auto"):
            raise InvalidInput("tool_choice: there are no tools")
        return Tools()
    for tool in tools:
        check_schema(tool.function.parameters or _NO_PARAMETERS)
    if choice == "none":
        return Tools()
    names = tuple(tool.function.name for tool in tools)
    wanted = tools
    if isinstance(choice, Choice):
        wanted = [tool for tool in tools if tool.function.name == choice.function.name]
        if not wanted:
            raise InvalidInput("tool_choice: no such tool", came=choice.function.name[:64], allowed=names)
    forced = isinstance(choice, Choice) or choice == "required"
    return Tools(
        shown=[_shown(tool) for tool in tools],
        names=names,
        constraint=Constraint(kind="json_schema", value=_call_schema(wanted)) if forced else None,
    )


def called(call: Any, number: int) -> dict[str, Any]:
    """A call of an earlier message as templates know it: its arguments are values, not a text."""
    try:
        function = call["function"]
        arguments = function.get("arguments") or "{}"
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
        name = str(function["name"])
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise InvalidInput(
            f"messages[{number}].tool_calls: no call of a function",
            allowed='{"id", "type": "function", "function": {"name", "arguments": JSON as text}}',
        ) from None
    return {"id": call.get("id"), "type": "function", "function": {"name": name, "arguments": value}}


def reader(tools: Tools) -> "Reader | None":
    """Where no tools are shown, a text is a text."""
    return Reader(tools) if tools.shown else None


class Reader:
    """Tells text from calls as pieces come: what may become a call is held back until it is known."""

    def __init__(self, tools: Tools) -> None:
        self.calls: list[dict[str, Any]] = []
        self._names = tools.names
        self._held = ""
        self._plain = False

    def take(self, text: str, *, last: bool) -> str:
        """The text that is no part of a call, as far as that is known."""
        if self._plain:
            return text
        self._held += text
        if last:
            found = _calls_in(self._held, self._names)
            if found:
                self.calls, self._held = found, ""
                return ""
        elif _may_become(self._held.lstrip()):
            return ""
        self._plain = True
        held, self._held = self._held, ""
        return held


def _may_become(text: str) -> bool:
    return not text or any(text.startswith(mark) or mark.startswith(text) for mark in _MARKS)


def _calls_in(text: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """All calls that a whole text is, or none."""
    found, rest = [], text.strip()
    decoder = json.JSONDecoder()
    while rest:
        for mark in (*_MARKS[:-2], *_CLOSES, *_MARKS[:-2]):
            rest = rest.removeprefix(mark).lstrip()
        if not rest:
            break
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return []
        calls = [_call(v, names) for v in (value if isinstance(value, list) else [value])]
        if None in calls:
            return []
        found += [call for call in calls if call is not None]
        rest = rest[end:].strip().removeprefix(";").lstrip()
    return found


def _call(value: Any, names: Sequence[str]) -> dict[str, Any] | None:
    if not isinstance(value, dict) or value.get("name") not in names:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": value["name"], "arguments": text},
    }


def _shown(tool: Tool) -> dict[str, Any]:
    function = tool.function
    return {
        "type": "function",
        "function": {
            "name": function.name,
            "description": function.description or "",
            "parameters": function.parameters or _NO_PARAMETERS,
        },
    }


def _call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    each = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.function.name},
                "arguments": tool.function.parameters or _NO_PARAMETERS,
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return each[0] if len(each) == 1 else {"anyOf": each}
