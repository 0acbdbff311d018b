from pathlib import Path

import pytest

from modelyard.client.hub import read_source
from modelyard.client.imports import ImportOptions, name_of
from modelyard.errors import InvalidInput


def test_names_come_from_sources(tmp_path: Path) -> None:
    for file, name in (
        ("My Model (2).onnx", "my-model-2"),
        ("a.b.keras", "a.b"),
        ("x.tar.gz", "x"),
        ("UPPER.GGUF", "upper"),
    ):
        (tmp_path / file).write_bytes(b"x")
        assert name_of(tmp_path / file) == name
    (tmp_path / "saved.model").mkdir()
    assert name_of(tmp_path / "saved.model") == "saved.model"
    assert name_of("hf:Org/Small-BERT@v1") == "small-bert"
    assert name_of("hf:org/llamas/q4.gguf") == "llamas"
    (tmp_path / "___.onnx").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="--name"):
        name_of(tmp_path / "___.onnx")


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.yard.zip").write_bytes(b"no zip")
    with pytest.raises(InvalidInput, match="no bundle"):
        name_of(tmp_path / "x.yard.zip")


def test_sources_on_the_hub() -> None:
    assert read_source("hf:org/name") == ("org/name", None)
    assert read_source("hf:org/name@refs/pr/1") == ("org/name", "refs/pr/1")
    assert read_source("hf:org/name/a/b.gguf@main") == ("org/name/a/b.gguf", "main")
    for bad in ("hf:name", "hf:", "hf:a/b@", "hf:a b/c"):
        with pytest.raises(InvalidInput, match="hf:ORG/NAME"):
            read_source(bad)


def test_only_what_was_said_is_sent() -> None:
    assert ImportOptions(task="tensors", labels=("a",), scale=255.0).to_dict() == {
        "task": "tensors",
        "labels": ["a"],
        "scale": 255.0,
    }
