"""Letters from spectrograms: padding, lengths and the loss."""

import pytest
import torch

from modelyard import nets
from modelyard.nets import Shape
from modelyard.types.tensor import TensorSpec

SHAPE = Shape(
    inputs=(
        TensorSpec(name="spectrogram", datatype="FP32", shape=(-1, -1, 20)),
        TensorSpec(name="frames", datatype="INT64", shape=(-1,)),
    ),
    outputs=(
        TensorSpec(name="log_probabilities", datatype="FP32", shape=(-1, -1, 6)),
        TensorSpec(name="steps", datatype="INT64", shape=(-1,)),
    ),
    preprocessing={},
)
SMALL = {"channels": (4, 5), "hidden": 8}


def built(**config):
    torch.manual_seed(0)
    net = nets.load("crnn")
    return net.build(net.config(**{**SMALL, **config}), SHAPE).eval()


@pytest.mark.parametrize("subsampling", [2, 4])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_row_is_answered_alike_whatever_padding_it_has(cell, subsampling):
    module = built(cell=cell, subsampling=subsampling)
    sound = torch.randn(1, 21, 20)
    alone = module.answer(sound, torch.tensor([21]))
    beside = torch.randn(3, 50, 20)  # what lies after a row's frames does not matter
    beside[1, :21] = sound[0]
    found = module.answer(beside, torch.tensor([50, 21, 1]))
    steps = {2: 11, 4: 6}[subsampling]
    assert found["steps"].tolist()[1] == steps == alone["steps"].item()
    torch.testing.assert_close(found["log_probabilities"][1, :steps], alone["log_probabilities"][0])
    assert not found["log_probabilities"][1, steps:].any()
    torch.testing.assert_close(alone["log_probabilities"].exp().sum(dim=2), torch.ones(1, steps))


def test_the_loss_is_of_a_letter_and_ctc_by_hand():
    """Two steps, one letter: the paths are "a a", "a -" and "- a"."""
    module = built(subsampling=4)
    sound, frames = torch.randn(1, 8, 20), torch.tensor([8])
    targets = {"symbols": torch.tensor([[3]]), "letters": torch.tensor([1])}
    p = module.answer(sound, frames)["log_probabilities"][0].exp()
    assert len(p) == 2
    expected = -torch.log(p[0, 3] * p[1, 3] + p[0, 3] * p[1, 0] + p[0, 0] * p[1, 3])
    found = module.loss({"spectrogram": sound, "frames": frames}, targets)["loss"]
    torch.testing.assert_close(found, expected)


def test_letters_that_do_not_fit_cost_nothing_and_break_nothing():
    module = built().train()
    targets = {"symbols": torch.tensor([[1, 1, 1, 1], [2, 0, 0, 0]]), "letters": torch.tensor([4, 0])}
    inputs = {"spectrogram": torch.randn(2, 8, 20), "frames": torch.tensor([8, 8])}
    loss = module.loss(inputs, targets)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_the_cnn_takes_spectrograms():
    net = nets.load("cnn")
    shape = Shape(
        inputs=(TensorSpec(name="spectrogram", datatype="FP32", shape=(-1, 37, 64)),),
        outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 3)),),
        preprocessing={"mean": 0.1, "std": 2.0},
    )
    assert net.build(net.config(), shape).eval()(torch.randn(2, 37, 64)).shape == (2, 3)
