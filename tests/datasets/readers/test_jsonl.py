"""JSON lines: what is read, and what is refused with its line."""

import json

import pytest

from modelyard.errors import InvalidInput, TooLarge


def test_keys_may_be_lacking(add, tmp_path):
    (tmp_path / "upload").write_text('{"a": 1}\n\n{"b": "x", "a": null}\n{"a": 2.5}\n' * 10)
    read = add(tmp_path / "upload").columns()
    assert read["b"][:3].tolist() == [None, "x", None]
    assert [str(value) for value in read["a"][:3]] == ["1.0", "nan", "2.5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": 1\n', "line 2 of 'a.jsonl' is not JSON"),
        ('{"a": 1}\n[1]\n', "line 2 of 'a.jsonl' is not an object; came: list"),
        ('{"a": NaN}\n', "line 1 of 'a.jsonl' is not JSON"),
        ('{" a": 1}\n', "key that cannot be a column's name"),
        ("{}\n{}\n", "no objects with keys"),
        ("[" * 100_000 + "\n", "not JSON"),
        ("   \n", "no objects with keys"),
    ],
)
def test_refused(add, tmp_path, text, message):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        add(tmp_path / "a.jsonl")


def test_bytes_that_are_not_utf8(add, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "x"}\n{"a": "\xff"}\n')
    with pytest.raises(InvalidInput, match=r"line 2 of 'a.jsonl' is not JSON"):
        add(tmp_path / "a.jsonl")


def test_a_line_without_end(add, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": "' + "x" * 9_000_000 + '"}\n')
    with pytest.raises(TooLarge, match=r"line 1 of 'a.jsonl'"):
        add(tmp_path / "a.jsonl")


def test_an_array_is_told_from_lines(add, tmp_path):
    (tmp_path / "a.json").write_text('[{"a": 1}]')
    with pytest.raises(InvalidInput, match="JSON array; allowed: JSON lines"):
        add(tmp_path / "a.json")


def test_nested_values_are_kept_as_their_json(add, tmp_path):
    messages = [{"role": "user", "content": "é\n"}, {"role": "assistant", "content": None}]
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps({"messages": messages, "n": n}) for n in range(20)) + "\n"
    )
    columns = add(tmp_path / "a.jsonl").columns(None, ["messages", "n"])
    assert [json.loads(text) for text in columns["messages"]] == [messages] * 20
    assert columns["n"].tolist() == list(range(20))
