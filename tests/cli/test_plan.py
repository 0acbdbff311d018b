"""`yard plan`, as it is typed."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models

from modelyard.cli.app import run
from stocked import Stocked

HUNDRED = ["--params", "100e9", "--layers", "80", "--hidden", "10240", "--heads", "80", "--kv-heads", "8"]


def yard(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(["plan", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_numbers_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, text, _ = yard(capsys, *HUNDRED, "--hardware", "h100x8", "--streams", "64")
    assert status == 0
    assert "  weights            200 GB\n" in text
    assert "  tensor 8 x pipeline 1, 1 copy, 1 host a copy\n" in text
    said = json.loads(yard(capsys, *HUNDRED, "--hardware", "h100x8", "--streams", "64", "--json")[1])
    assert said["weights"] == 200e9
    assert said["layout"]["tensor"] == 8
    assert f"  all streams        {said['cost']['answers']:,.0f} tokens/s" in text


def test_experts_by_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [*HUNDRED, "--active", "10e9", "--experts", "64", "--experts-used", "4", "--hardware", "h100x8"]
    said = json.loads(yard(capsys, *numbers, "--json")[1])
    shape = said["request"]["shape"]
    assert shape["expert_parameters"] == pytest.approx(96e9)  # 100e9 = s + e, 10e9 = s + e 4 / 64
    assert shape["expert_parameters"] * 4 / 64 + 100e9 - shape["expert_parameters"] == pytest.approx(10e9)


def test_a_published_shape_that_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    status, text, _ = yard(capsys, "Llama-3.1-405B", "--hardware", "h100x8", "--streams", "64")
    assert status == 0
    assert "does not fit: each accelerator lacks 65.52 GB" in text
    assert "--hardware h100x16" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--params"),
        (["--params", "1e9"], "without --layers, --hidden, --heads"),
        (["llama-3.1-8b", "--layers", "3"], "own shape; came: --layers"),
        (["llama-3.1-8b", "--hardware", "h1000"], "did you mean 'h100'"),
        (["llama-3.1-8b", "--precision", "int3"], "unknown precision"),
        (["llama-3.1-8b", "--price", "-1"], "price"),
        (["./nowhere/config.json"], "no such file; came: config.json"),
        ([*HUNDRED, "--active", "1e9"], "--experts"),
        ([*HUNDRED, "--active", "2e11", "--experts", "8", "--experts-used", "2"], "so many parameters"),
        (["--params", "1e9", "--layers", "2", "--hidden", "64", "--heads", "0"], "heads"),
    ],
)
def test_what_cannot_be_planned(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    status, out, err = yard(capsys, *arguments)
    assert (status, out) == (1, "")
    assert words in err


def test_a_name_that_nobody_knows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelyard.cli.platform import client

    monkeypatch.setenv("YARD_URL", "http://127.0.0.1:9")  # nothing listens at "discard"
    monkeypatch.setenv("YARD_API_KEY", "none")
    client.cache_clear()
    try:
        status, _, err = yard(capsys, "llama-3.1-9b")
    finally:
        client.cache_clear()
    assert status == 1
    assert "did you mean 'llama-3.1-8b'" in err
    assert "the platform: nothing answers" in err


@pytest.mark.slow
def test_a_model_of_the_platform_is_planned_by_its_own_files(stocked: Stocked, tmp_path: Path) -> None:
    """Its weights are as large as its file; of a table's model, no shape is known."""
    write_causal(tmp_path / "small")
    stocked.yard(
        "models", "import", str(tmp_path / "small"), "--name", "small-gpt", "--engine", "transformers"
    )
    said = stocked.json("plan", "small-gpt", "--hardware", "rtx4090", "--context", "64")
    shape = said["request"]["shape"]
    assert (shape["name"], shape["layers"], shape["kv_heads"], shape["head_dim"]) == ("small-gpt:1", 2, 1, 8)
    assert shape["parameters"] == PARAMETERS
    assert said["weights"] == (tmp_path / "small" / "model.safetensors").stat().st_size
    refused = stocked.run("plan", "wine:1")
    assert refused.returncode == 1
    assert "no config.json" in refused.stderr


PARAMETERS = 2 * 64 * 16 + 2 * (16 * (16 + 2 * 8) + 16 * 16 + 3 * 16 * 32 + 2 * 16) + 16


def write_causal(folder: Path) -> None:
    """A Llama of two layers, with every tensor that one has."""
    folder.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16,
              "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 2, "intermediate_size": 32,
              "vocab_size": 64, "dtype": "float32", "max_position_embeddings": 64, "tie_word_embeddings": False,
              "rms_norm_eps": 1e-6, "head_dim": 8, "hidden_act": "silu"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {"<s>": 0, **{chr(0x60 + i): i for i in range(1, 64)}}
    Tokenizer(models.WordLevel(vocabulary, "<s>")).save(str(folder / "tokenizer.json"))
    shapes = {"model.embed_tokens.weight": (64, 16), "lm_head.weight": (64, 16), "model.norm.weight": (16,)}
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes |= {f"{at}self_attn.{n}_proj.weight": s for n, s in
                   (("q", (16, 16)), ("k", (8, 16)), ("v", (8, 16)), ("o", (16, 16)))}  # fmt: skip
        shapes |= {f"{at}mlp.{n}_proj.weight": s for n, s in
                   (("gate", (32, 16)), ("up", (32, 16)), ("down", (16, 32)))}  # fmt: skip
        shapes |= {f"{at}{n}_layernorm.weight": (16,) for n in ("input", "post_attention")}
    random = np.random.default_rng(0)
    tensors = {name: random.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
    assert sum(t.size for t in tensors.values()) == PARAMETERS
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
