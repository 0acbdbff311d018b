"""The PyTorch nets build for any input and give one row of outputs a row."""

import pytest
import torch

from modelyard import nets
from modelyard.errors import InvalidInput
from modelyard.nets import Shape
from modelyard.types.tensor import TensorSpec


def image_shape(height: int, width: int, channels: int, classes: int = 3) -> Shape:
    return Shape(
        inputs=(TensorSpec(name="image", datatype="UINT8", shape=(-1, height, width, channels)),),
        outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(-1, classes)),),
        preprocessing={"mean": [100.0] * channels, "std": [50.0] * channels},
    )


def table_shape(features: int, classes: int | None) -> Shape:
    probabilities = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, classes or 0))
    prediction = TensorSpec(name="prediction", datatype="FP32", shape=(-1,))
    return Shape(
        inputs=(TensorSpec(name="features", datatype="FP32", shape=(-1, features)),),
        outputs=(probabilities if classes else prediction,),
        preprocessing={},
    )


SIZES = [(1, 1, 1), (2, 5, 3), (8, 8, 1), (9, 13, 3), (28, 28, 1), (33, 37, 3), (64, 64, 3), (71, 130, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["cnn", "mlp", "resnet", "vit"])
def test_any_image_size(name: str, size: tuple[int, int, int]) -> None:
    net = nets.load(name)
    module = net.build(net.config(), image_shape(*size)).eval()
    pixels = torch.randint(0, 256, (4, *size), dtype=torch.uint8)
    found = module(pixels)
    assert found.shape == (4, 3)
    assert torch.isfinite(found).all()
    assert torch.allclose(found[:1], module(pixels[:1]), atol=1e-5)


def test_the_cnn_has_three_convolutions_and_two_poolings() -> None:
    net = nets.load("cnn")
    module = net.build(net.config(), image_shape(28, 28, 1))
    kinds = [type(layer).__name__ for layer in module]
    assert kinds.count("Conv2d") == 3
    assert kinds.count("MaxPool2d") == 2
    assert kinds.count("Linear") == 2


def test_the_resnet_is_the_papers() -> None:
    """Three stages of n blocks with 16, 32 and 64 maps have 6n + 2 layers; for n = 3 and 10 classes 0.27 M
    parameters (He et al. 2016, table 6)."""
    net = nets.load("resnet")
    module = net.build(net.config(channels=(16, 32, 64), blocks=3), image_shape(32, 32, 3, classes=10))
    layers = [m for m in module.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == 20 + 2  # and two convolutions of shortcuts
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(0.27e6, rel=0.02)


def test_the_vit_sees_patches_in_their_places() -> None:
    net = nets.load("vit")
    torch.manual_seed(0)
    module = net.build(net.config(patch=4), image_shape(8, 12, 1)).eval()
    assert module.places.shape == (1, 1 + 6, 64)
    pixels = torch.randint(0, 256, (1, 8, 12, 1), dtype=torch.uint8)
    exchanged = torch.cat([pixels[:, :, 4:8], pixels[:, :, :4], pixels[:, :, 8:]], dim=2)
    assert not torch.allclose(module(pixels), module(exchanged), atol=1e-4)
    with torch.no_grad():
        module.places.zero_()
    assert torch.allclose(module(pixels), module(exchanged), atol=1e-5)


def test_the_vit_needs_heads_that_divide_its_width() -> None:
    net = nets.load("vit")
    with pytest.raises(InvalidInput, match=r"not a multiple of net.heads; came: 10, 4"):
        net.build(net.config(width=10), image_shape(8, 8, 1))


def test_pixels_are_normalised_by_the_training_splits_moments() -> None:
    net = nets.load("mlp")
    first = net.build(net.config(), image_shape(2, 2, 3))[0]
    found = first(torch.tensor([[[[150, 100, 50]] * 2] * 2], dtype=torch.uint8))
    assert found.shape == (1, 3, 2, 2)
    assert found[0, :, 0, 0].tolist() == pytest.approx([1.0, 0.0, -1.0])


@pytest.mark.parametrize(("classes", "expected"), [(4, (5, 4)), (None, (5,))])
def test_the_mlp_takes_tables(classes: int | None, expected: tuple[int, ...]) -> None:
    net = nets.load("mlp")
    module = net.build(net.config(hidden=(7,)), table_shape(6, classes))
    assert module(torch.zeros(5, 6)).shape == expected
