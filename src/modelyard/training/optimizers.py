"""Optimizers, from torch, and their state as named tensors and JSON."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn

from modelyard.training.recipe import GradientTraining

Create = Callable[[Iterable[nn.Parameter], GradientTraining], torch.optim.Optimizer]


def create(parameters: Iterable[nn.Parameter], given: GradientTraining) -> torch.optim.Optimizer:
    """The recipe's optimizer over `parameters`."""
    return OPTIMIZERS[given.optimizer](parameters, given)


def _sgd(parameters: Iterable[nn.Parameter], given: GradientTraining) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters, lr=given.learning_rate, momentum=given.momentum, weight_decay=given.weight_decay
    )


def _adam(parameters: Iterable[nn.Parameter], given: GradientTraining) -> torch.optim.Optimizer:
    """Kingma and Ba 2015."""
    return torch.optim.Adam(
        parameters, lr=given.learning_rate, betas=(given.beta1, 0.999), weight_decay=given.weight_decay
    )


def _adamw(parameters: Iterable[nn.Parameter], given: GradientTraining) -> torch.optim.Optimizer:
    """Loshchilov and Hutter 2019."""
    return torch.optim.AdamW(
        parameters, lr=given.learning_rate, betas=(given.beta1, 0.999), weight_decay=given.weight_decay
    )


OPTIMIZERS: Final[dict[str, Create]] = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}


def tensors_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer has gathered, as "parameter number.name" -> tensor. Rates are set anew at each
    step."""
    return {
        f"{number}.{name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `tensors_of`."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
