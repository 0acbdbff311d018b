import pytest
import torch
from torch import nn

from modelyard.errors import InvalidInput
from modelyard.tasks.options import resolve
from modelyard.training import pruning
from modelyard.training.pruning import Masks, Pruning


def test_the_cubic_schedule() -> None:
    """Equation 1 of the paper at its ends and in its middle."""
    given = Pruning(sparsity=0.8, start=0.2, end=0.6)
    found = [given.at(step, 100) for step in range(100)]
    assert found[:20] == [0] * 20
    assert found == sorted(found)
    assert found[39] == pytest.approx(0.8 * (1 - 0.5**3))
    assert found[59:] == [0.8] * 41
    assert found[58] < 0.8


@pytest.mark.parametrize(("steps", "every"), [(1, 20), (7, 20), (100, 7), (3000, 20)])
def test_the_last_look_is_at_the_end(steps: int, every: int) -> None:
    given = Pruning(sparsity=0.5, every=every)
    due = [step for step in range(steps) if given.is_due(step, steps)]
    assert due[-1] == given.last(steps) < steps
    assert given.at(due[-1], steps) == 0.5


def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="`start` must be before `end`"):
        resolve(Pruning, {"sparsity": 0.5, "start": 0.7, "end": 0.2}, "recipe.training.pruning")


def test_the_smallest_of_each_tensor_go_and_stay_gone() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(8, 5), nn.LSTM(3, 4))
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    masks = Masks(module, Pruning(sparsity=0.5, start=0, end=0.1))
    masks.step(0, 10)
    kinds = {"0.weight", "2.weight", "3.weight_ih_l0", "3.weight_hh_l0"}
    assert masks.kept.keys() == kinds
    assert masks.sparsity == pytest.approx(0.5)
    for name, value in module.named_parameters():
        if name not in kinds:
            assert torch.equal(value, before[name])
            continue
        gone = value.detach() == 0
        assert int(gone.sum()) == value.numel() // 2
        assert float(before[name][gone].abs().max()) < float(before[name][~gone].abs().min())
    with torch.no_grad():
        module[2].weight.add_(1.0)  # what an optimizer does
    masks.step(1, 10)
    assert masks.sparsity == pytest.approx(0.5)


def test_frozen_weights_are_left_alone() -> None:
    module = nn.Sequential(nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 4))
    masks = Masks(module, Pruning(sparsity=0.5, start=0, end=0.1))
    masks.step(0, 1)
    assert masks.kept.keys() == {"1.weight"}


def test_the_report_names_each_tensor() -> None:
    module = nn.Linear(4, 2)
    with torch.no_grad():
        module.weight[0, :3] = 0
    found = pruning.exhibit(module)
    assert found.rows == (("weight", "2 x 4", "3", "37.5%"),)
    assert found.note == "3 of 8 weights are 0 (37.5%); the net has 10 parameters in all."
