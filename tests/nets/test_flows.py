"""A flow is invertible, and its density is that of what it makes of noise."""

import pytest
import torch

from modelyard.nets.flows import Flow


def stirred(width: int, classes: int) -> Flow:
    """Couplings that do something: they begin as the identity."""
    torch.manual_seed(0)
    flow = Flow(width, classes, couplings=3, hidden=8)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return flow


@pytest.mark.parametrize(("width", "classes"), [(2, 0), (5, 0), (4, 3)])
def test_density_by_the_change_of_variables(width: int, classes: int) -> None:
    flow = stirred(width, classes)
    noise = torch.randn(4, width)
    label = torch.arange(4) % classes if classes else None
    values = flow(noise, label)
    assert not torch.allclose(values, noise)
    for row in range(4):
        own = None if label is None else label[row : row + 1]
        slope = torch.autograd.functional.jacobian(lambda e, own=own: flow(e[None], own)[0], noise[row])
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise[row]).sum()
        found = flow.log_density(values[row : row + 1], own)
        assert found.item() == pytest.approx((normal - torch.linalg.slogdet(slope)[1]).item(), abs=1e-4)


def test_a_label_changes_it() -> None:
    flow, noise = stirred(4, 3), torch.randn(2, 4)
    assert not torch.allclose(flow(noise, torch.tensor([0, 0])), flow(noise, torch.tensor([1, 1])))


@pytest.mark.parametrize(("width", "couplings"), [(1, 4), (6, 0)])
def test_without_couplings_it_is_the_normal_density(width: int, couplings: int) -> None:
    flow, noise = Flow(width, 0, couplings, 8), torch.randn(3, width)
    assert torch.equal(flow(noise, None), noise)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(dim=1)
    torch.testing.assert_close(flow.log_density(noise, None), expected)
