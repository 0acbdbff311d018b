"""The published shapes: counted parameters are the ones that their makers state."""

import pytest

from modelyard.errors import InvalidInput
from modelyard.planning.shapes import KNOWN, Shape

STATED = {
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "mistral-7b-v0.3": 7_248_023_552,
    "mixtral-8x7b": 46_702_792_704,
    "gemma-3-270m": 268_098_176,
}
"""What Hugging Face counts in the published safetensors files."""
CARD = {"gpt-oss-20b": (20.91, 3.61, 12.8), "gpt-oss-120b": (116.83, 5.13, 60.8)}
"""The model card's table 1: billions in all, billions that a token uses, GiB of the checkpoint."""


@pytest.mark.parametrize("name", STATED)
def test_parameters_are_those_of_the_published_files(name: str) -> None:
    assert KNOWN[name].parameters == STATED[name]


@pytest.mark.parametrize("name", CARD)
def test_experts_are_those_of_the_model_card(name: str) -> None:
    from modelyard.planning.memory import weight_bytes

    total, active, checkpoint = CARD[name]
    shape = KNOWN[name]
    assert round(shape.parameters / 1e9, 2) == total
    assert round(shape.active / 1e9, 2) == active
    assert weight_bytes(shape, "mxfp4") / 2**30 == pytest.approx(checkpoint, rel=0.01)


def test_every_shape_is_of_a_published_source() -> None:
    assert all("arXiv" in shape.source for shape in KNOWN.values())
    assert set(KNOWN) == {*STATED, *CARD}


def test_a_step_of_many_tokens_touches_all_experts() -> None:
    shape = KNOWN["mixtral-8x7b"]
    assert shape.touched(1) == pytest.approx(shape.expert_parameters / 4)
    assert shape.touched(2) == pytest.approx(shape.expert_parameters * (1 - 0.75**2))
    assert shape.touched(1000) == pytest.approx(shape.expert_parameters)


def test_a_window_bounds_what_is_remembered() -> None:
    shape = KNOWN["gemma-3-270m"]
    assert shape.remembered(100) == 18 * 100
    assert shape.remembered(10_000) == 3 * 10_000 + 15 * 512


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": 0}, "layers"),
        ({"parameters": 0.0}, "parameters"),
        ({"parameters": float("nan")}, "parameters"),
        ({"heads": 7}, "KV heads"),
        ({"experts": 4}, "experts"),
        ({"expert_parameters": 2e12}, "whole"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change: dict[str, float], words: str) -> None:
    good = {"name": "a", "parameters": 1e9, "layers": 8, "hidden": 64, "heads": 8, "kv_heads": 4, "head_dim": 8,
            "inner": 256}  # fmt: skip
    with pytest.raises(InvalidInput, match=words):
        Shape(**(good | change))  # type: ignore[arg-type]
