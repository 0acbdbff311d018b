"""Nets that make images: any size, with labels and without, and what their losses are made of."""

import pytest
import torch

from modelyard import nets
from modelyard.errors import InvalidInput
from modelyard.nets import Shape
from modelyard.types.tensor import TensorSpec

LATENT = 6


def shape(height: int, width: int, colours: int, classes: int = 0) -> Shape:
    noise = TensorSpec(name="noise", datatype="FP32", shape=(-1, LATENT))
    label = TensorSpec(name="label", datatype="INT64", shape=(-1,))
    return Shape(
        inputs=(noise, label) if classes else (noise,),
        outputs=(TensorSpec(name="image", datatype="FP32", shape=(-1, height, width, colours)),),
        preprocessing={"labels": [str(k) for k in range(classes)]},
    )


def batch(rows: int, size: tuple[int, int, int], classes: int = 0) -> tuple[dict, dict]:
    torch.manual_seed(1)
    inputs = {"noise": torch.randn(rows, LATENT)}
    if classes:
        inputs["label"] = torch.arange(rows) % classes
    return inputs, {"image": torch.randint(0, 256, (rows, *size), dtype=torch.uint8)}


SIZES = [(4, 4, 1), (5, 7, 3), (8, 8, 1), (28, 28, 1), (33, 18, 3)]


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["vae", "gan"])
def test_any_image_size(name: str, size: tuple[int, int, int], classes: int) -> None:
    torch.manual_seed(0)
    net = nets.load(name)
    module = net.build(net.config(), shape(*size, classes=classes)).eval()
    inputs, targets = batch(4, size, classes)
    image = module.answer(*inputs.values())["image"]
    assert image.shape == (4, *size)
    assert 0 <= image.min().item() <= image.max().item() <= 1
    alone = module.answer(*(value[1:2] for value in inputs.values()))["image"]
    assert torch.allclose(alone, image[1:2], atol=1e-5)
    players = module.players() if name == "gan" else {"": []}
    for player in players:
        module.train()
        assert bool(module.loss(inputs, targets, player)["loss"].isfinite())


def test_the_vaes_loss_is_the_error_and_the_divergence() -> None:
    net = nets.load("vae")
    inputs, targets = batch(16, (8, 8, 1))
    torch.manual_seed(0)
    plain = net.build(net.config(beta=1.0), shape(8, 8, 1)).eval()
    found = {name: value.item() for name, value in plain.loss(inputs, targets).items()}
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["kl"], rel=1e-6)
    assert plain.loss(inputs, targets)["loss"].item() == found["loss"]  # its noise is the rows'
    torch.manual_seed(0)
    weighed = net.build(net.config(beta=4.0), shape(8, 8, 1)).eval().loss(inputs, targets)
    assert weighed["loss"].item() == pytest.approx(found["reconstruction"] + 4 * found["kl"], rel=1e-6)


def test_the_divergence_is_torchs_own_at_one_draw() -> None:
    """The flow begins as the identity: the prior is normal."""
    net = nets.load("vae")
    inputs, targets = batch(16, (8, 8, 1))
    module = net.build(net.config(), shape(8, 8, 1)).eval()
    mean, log_variance = module.encode(targets["image"].permute(0, 3, 1, 2) / 255, None)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    draw = mean + inputs["noise"] * posterior.scale
    expected = posterior.log_prob(draw) - torch.distributions.Normal(0.0, 1.0).log_prob(draw)
    found = module.loss(inputs, targets)["kl"].item()
    assert found == pytest.approx(expected.sum(dim=1).mean().item(), rel=1e-4, abs=1e-4)


def test_a_reconstruction_is_of_the_image_that_came() -> None:
    net = nets.load("vae")
    module = net.build(net.config(), shape(8, 8, 1, classes=2))
    inputs, targets = batch(32, (8, 8, 1), classes=2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.003)
    before = module.eval().loss(inputs, targets)["reconstruction"].item()
    module.train()
    for _ in range(120):
        optimizer.zero_grad()
        module.loss(inputs, targets)["loss"].backward()
        optimizer.step()
    assert module.eval().loss(inputs, targets)["reconstruction"].item() < before
    found = module.sketch(inputs, targets)["reconstruction"]
    right = (found - targets["image"] / 255).abs().mean()
    wrong = (found.roll(1, dims=0) - targets["image"] / 255).abs().mean()
    assert right.item() < wrong.item()


def test_each_player_moves_its_own_parameters_alone() -> None:
    net = nets.load("gan")
    module = net.build(net.config(), shape(8, 8, 1, classes=2))
    inputs, targets = batch(8, (8, 8, 1), classes=2)
    players = {name: list(parameters) for name, parameters in module.players().items()}
    assert list(players) == ["discriminator", "generator"]
    assert sum(map(len, players.values())) == len(list(module.parameters()))
    module.zero_grad(set_to_none=True)
    module.loss(inputs, targets, "discriminator")["loss"].backward()
    assert all(parameter.grad is None for parameter in players["generator"])
    assert any(float(parameter.grad.abs().sum()) > 0 for parameter in players["discriminator"])
    module.zero_grad(set_to_none=True)
    module.loss(inputs, targets, "generator")["loss"].backward()
    assert all(parameter.grad is not None for parameter in players["generator"])


def test_a_gan_needs_some_pixels() -> None:
    net = nets.load("gan")
    with pytest.raises(InvalidInput, match="4 or more a side"):
        net.build(net.config(), shape(3, 8, 1))
