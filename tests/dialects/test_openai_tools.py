"""Tools: what a model is shown, made to write, and what its text becomes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.dialects.openai import tools
from modelyard.dialects.openai.schema import check_schema
from modelyard.dialects.openai.tools import Choice, Function, Named, Tool
from modelyard.errors import InvalidInput

WEATHER = Tool(type="function", function=Function(name="weather", parameters={"type": "object"}))
TIME = Tool(type="function", function=Function(name="time"))
CALL = '{"name": "weather", "arguments": {"city": "Rome"}}'


def read(*pieces: str) -> tuple[str, list[dict]]:
    reader = tools.reader(tools.plan([WEATHER, TIME], "auto"))
    assert reader is not None
    text = "".join(reader.take(p, last=k == len(pieces) - 1) for k, p in enumerate(pieces))
    return text, [call["function"] for call in reader.calls]


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"[TOOL_CALLS][{CALL}]",
        f"<|python_tag|>{CALL}",
        f"```json\n{CALL}\n```",
        CALL.replace("arguments", "parameters"),
        f"  {CALL}",
    ],
)
def test_calls_in_every_form(text):
    rest, calls = read(text)
    assert rest == ""
    assert [(c["name"], json.loads(c["arguments"])) for c in calls] == [("weather", {"city": "Rome"})]


def test_several_calls():
    both = f"<tool_call>{CALL}</tool_call>\n<tool_call>" + '{"name": "time", "arguments": {}}</tool_call>'
    assert [c["name"] for c in read(both)[1]] == ["weather", "time"]


@pytest.mark.parametrize(
    "text", ["It is warm.", "{not json", '{"name": "other", "arguments": {}}', "<b>bold</b>", "[1, 2]", ""]
)
def test_what_is_no_call_is_text(text):
    assert read(text) == (text, [])


@given(st.text(max_size=60), st.data())
def test_no_text_is_lost_however_it_comes(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    rest, calls = read(*pieces)
    assert rest == text or calls


def test_plain_text_is_not_held_back():
    reader = tools.reader(tools.plan([WEATHER], None))
    assert reader is not None
    assert reader.take("It", last=False) == "It"


def test_a_demanded_call_is_a_schema():
    one = tools.plan([WEATHER, TIME], Choice(type="function", function=Named(name="time"))).constraint
    assert one is not None
    assert one.value["properties"]["name"] == {"const": "time"}
    any_of = tools.plan([WEATHER, TIME], "required").constraint
    assert any_of is not None
    assert len(any_of.value["anyOf"]) == 2
    assert tools.plan([WEATHER], "none") == tools.Tools()
    with pytest.raises(InvalidInput, match="no such tool"):
        tools.plan([WEATHER], Choice(type="function", function=Named(name="x")))
    with pytest.raises(InvalidInput, match="there are no tools"):
        tools.plan([], "required")


def deep(levels: int) -> dict:
    found: dict = {"type": "string"}
    for _ in range(levels):
        found = {"anyOf": [found]}
    return found


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (deep(10_000), "nested too deeply"),
        ({"anyOf": [{"type": "string"}] * 5000}, "too many parts"),
        ({"type": "strin"}, "unknown type"),
        ({"type": ["string", "x"]}, "unknown type"),
        ({"pattern": "a" * 300}, "too long"),
        ({"pattern": "(a*)*"}, "repeats"),
        ({"pattern": "((ab|c)+x)+"}, "repeats"),
        ({"pattern": "(a{1,9}){1,9}"}, "repeats"),
        ({"maxLength": 1e9}, "too large"),
        ([], "must be an object"),
    ],
)
def test_schemas_that_no_grammar_is_made_of(schema, said):
    with pytest.raises(InvalidInput, match=said):
        check_schema(schema)


@pytest.mark.parametrize("pattern", ["^[a-z]+$", r"\(a+\)+", "(ab)+c", r"^\d{3}-\d{4}$", "(a|b)*c*"])
def test_patterns_that_end(pattern):
    assert check_schema({"type": "string", "pattern": pattern})
