import pytest
import torch
from torch import nn

from modelyard.training.averaging import Average


def test_it_follows_the_weights_and_copies_what_is_no_number() -> None:
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = Average(module, 0.9)
    expected = float(module[0].weight.detach())
    for step in range(200):
        with torch.no_grad():
            module[0].weight.fill_(step)
            module[1].num_batches_tracked.fill_(step)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(average.values["0.weight"]) == pytest.approx(expected, rel=1e-5)
    assert int(average.values["1.num_batches_tracked"]) == 199


def test_the_module_has_it_for_a_while() -> None:
    module = nn.Linear(2, 2)
    average = Average(module, 0.5)
    with torch.no_grad():
        module.weight.add_(1)
    live, kept = module.weight.detach().clone(), average.values["weight"].clone()
    with average.in_place():
        assert torch.equal(module.weight, kept)
    assert torch.equal(module.weight, live)
    assert torch.equal(average.values["weight"], kept)
