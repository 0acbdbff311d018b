import pytest

from modelyard.errors import InvalidInput, ModelyardError, NotAllowedFormat, NotFound
from modelyard.runs.hub import chosen, split


def test_names() -> None:
    assert split("org/name") == ("org/name", None)
    assert split("org/name/deep/file.gguf") == ("org/name", "deep/file.gguf")
    for bad in ("name", "", "../..", "org/..", "a/b/../c", "a b/c", "/a/b", "a/b/"):
        with pytest.raises(ModelyardError):
            split(bad)


FILES = [
    "README.md",
    "config.json",
    "model.safetensors",
    "modeling_x.py",
    "pytorch_model.bin",
    "tf_model.h5",
    "tokenizer.json",
    "vocab.txt",
    "onnx/model.onnx",
    "training_args.bin",
]


def test_what_is_fetched_has_no_code_and_no_pickle_in_it() -> None:
    assert chosen(FILES, None, "o/n") == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt",
    ]
    assert chosen(FILES, "onnx/model.onnx", "o/n") == ["onnx/model.onnx"]


def test_what_is_not_there_or_not_safe() -> None:
    with pytest.raises(NotAllowedFormat, match="pickles"):
        chosen(["config.json", "pytorch_model.bin"], None, "o/n")
    with pytest.raises(NotAllowedFormat, match="no weights"):
        chosen(["README.md"], None, "o/n")
    with pytest.raises(InvalidInput, match="hf:o/n/FILE"):
        chosen(["a.gguf", "b.gguf"], None, "o/n")
    with pytest.raises(NotFound):
        chosen(FILES, "none.onnx", "o/n")
