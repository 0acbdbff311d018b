"""What `yard predict` reads."""

import io
import sys

import pytest

from modelyard.cli.pairs import numbers, pairs
from modelyard.cli.predict import read_input
from modelyard.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("a.json", '{"a": [1]}', {"a": [1]}),
        ("a.json", '{"inputs": {"data": {"a": [1]}}}', {"a": [1]}),
        ("a.jsonl", '{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        (
            "a.csv",
            "a,b\n1,x\n-2.5,\n1e3,007\n",
            [{"a": 1, "b": "x"}, {"a": -2.5, "b": None}, {"a": 1000.0, "b": "007"}],
        ),
        ("a.PNG", "bytes", b"bytes"),
    ],
)
def test_files(tmp_path, name, text, value):
    (tmp_path / name).write_text(text)
    assert read_input(str(tmp_path / name)) == value


def test_text_and_standard_input(monkeypatch):
    assert read_input('{"a": 1}') == {"a": 1}
    assert read_input(' [{"a": 1}]') == [{"a": 1}]
    for data, value in ((b'{"a": 1}', {"a": 1}), (b"\x89PNG", b"\x89PNG")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert read_input("-") == value


@pytest.mark.parametrize(("name", "text"), [("a.csv", "a,b\n"), ("a.json", "{"), ("a.jsonl", "{}\nx")])
def test_files_that_cannot_be_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput):
        read_input(str(tmp_path / name))


def test_pairs():
    assert pairs(["a=1", "b = x=y"], "--set") == {"a": "1", "b": "x=y"}
    assert numbers(["3=90", "4=10"], "split") == {"3": 90, "4": 10}
    for bad in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(InvalidInput):
            pairs(bad, "--set")
