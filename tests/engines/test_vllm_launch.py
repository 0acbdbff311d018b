"""What `vllm.json` may say, and the arguments that it makes."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.vllm.launch import arguments, read_launch
from modelyard.errors import InvalidInput

NONE = GeneratorOptions()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "huggingface").mkdir()
    (tmp_path / "huggingface" / "config.json").write_text('{"max_position_embeddings": 131072}')
    return tmp_path


def entry(folder: Path, said: Any) -> Path:
    path = folder / "vllm.json"
    path.write_text(said if isinstance(said, str) else json.dumps(said))
    return path


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_the_least_that_can_be_said(folder: Path) -> None:
    plan = read_launch(entry(folder, {}), NONE)
    assert (plan.slots, plan.context) == (64, 8192)
    words = arguments(plan, Path("/s"))
    assert words[:3] == [str(folder / "huggingface"), "--uds", "/s"]
    assert value(words, "--tensor-parallel-size") == "1"
    assert "--enable-prefix-caching" in words
    assert not {"--distributed-executor-backend", "--quantization", "--enable-lora"} & {*words}


def test_a_model_that_outgrows_a_host_is_placed_by_ray(folder: Path) -> None:
    said = {"tensor_parallel": 8, "pipeline_parallel": 2, "hosts": 2, "expert_parallel": True, "memory": 0.85,
            "dtype": "bfloat16", "quantization": "fp8", "kv_cache": "fp8", "prefix_caching": False}  # fmt: skip
    words = arguments(read_launch(entry(folder, said), NONE), Path("/s"))
    assert value(words, "--distributed-executor-backend") == "ray"
    assert value(words, "--tensor-parallel-size") == "8"
    assert value(words, "--pipeline-parallel-size") == "2"
    assert value(words, "--gpu-memory-utilization") == "0.85"
    assert (value(words, "--quantization"), value(words, "--kv-cache-dtype")) == ("fp8", "fp8")
    assert {"--enable-expert-parallel", "--no-enable-prefix-caching"} <= {*words}


def test_a_deployment_has_the_last_word(folder: Path) -> None:
    path = entry(folder, {"slots": 128, "context": 4096})
    assert (read_launch(path, NONE).slots, read_launch(path, NONE).context) == (128, 4096)
    plan = read_launch(path, GeneratorOptions(slots=4, context=16_384))
    assert (plan.slots, plan.context) == (4, 16_384)
    words = arguments(plan, Path("/s"))
    assert (value(words, "--max-num-seqs"), value(words, "--max-model-len")) == ("4", "16384")


def test_an_adapter_has_the_least_rank_that_holds_it(folder: Path) -> None:
    (folder / "adapter").mkdir()
    config = folder / "adapter" / "adapter_config.json"
    for rank, least in ((4, "8"), (16, "16"), (17, "32")):
        config.write_text(json.dumps({"r": rank}))
        words = arguments(read_launch(entry(folder, {"adapter": "adapter"}), NONE), Path("/s"))
        assert value(words, "--max-lora-rank") == least
        assert json.loads(value(words, "--lora-modules")) == {
            "name": "adapter",
            "path": str(folder / "adapter"),
        }
    for rank in (0, 513, "8", None):
        config.write_text(json.dumps({"r": rank}))
        with pytest.raises(InvalidInput, match="rank"):
            read_launch(entry(folder, {"adapter": "adapter"}), NONE)


@pytest.mark.parametrize(
    "said",
    [
        "", "[]", "{", "[" * 100_000, {"middleware": "os.system"}, {"tensor_parallel": 0}, {"tensor_parallel": "8"},
        {"memory": 1.5}, {"memory": None}, {"quantization": "--middleware=x"}, {"dtype": "float8"}, {"context": 1},
        {"model": ""}, {"model": "nowhere"}, {"model": "../huggingface"}, {"model": "/etc"}, {"model": "a\u0000b"},
        {"model": "--help"}, {"startup_seconds": 1e9}, {"slots": 10**9}, {"adapter": "huggingface"},
        {"context": 200_000},
    ],
)  # fmt: skip
def test_what_cannot_be_launched(folder: Path, said: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_launch(entry(folder, said), NONE)
    assert str(folder) not in caught.value.message


def test_a_broken_configuration_is_the_models_mistake(folder: Path) -> None:
    (folder / "huggingface" / "config.json").write_text("[1]")
    with pytest.raises(InvalidInput, match=r"config\.json"):
        read_launch(entry(folder, {}), NONE)
