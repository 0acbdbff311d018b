import pytest
import torch

from modelyard.training.schedules import Constant, Cosine, Plateau, PlateauState, Schedule, Step, factor

EPOCHS, STEPS = 10, 7


def _rates(schedule: Schedule, losses: list[float] | None = None) -> list[float]:
    """The factor at each step of training, with these losses observed after each epoch."""
    state, found = PlateauState(), []
    for epoch in range(1, EPOCHS + 1):
        for number in range(STEPS):
            step = (epoch - 1) * STEPS + number
            found.append(factor(schedule, epoch=epoch, step=step, steps=EPOCHS * STEPS, state=state))
        if losses:
            state.observe(schedule, losses[epoch - 1])
    return found


def _theirs(create: object, per_epoch: bool, losses: list[float] | None = None) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = create(optimizer)  # type: ignore[operator]
    found = []
    for epoch in range(EPOCHS):
        for _ in range(STEPS):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if not per_epoch:
                scheduler.step()
        if per_epoch:
            scheduler.step(*([losses[epoch]] if losses else []))
    return found


def test_constant() -> None:
    assert set(_rates(Constant())) == {1.0}


def test_step_is_torchs() -> None:
    theirs = _theirs(lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5), per_epoch=True)
    assert _rates(Step(every=3, factor=0.5)) == pytest.approx(theirs)


def test_cosine_is_torchs() -> None:
    theirs = _theirs(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, EPOCHS * STEPS, eta_min=0.1), per_epoch=False
    )
    assert _rates(Cosine(final=0.1)) == pytest.approx(theirs)


def test_cosine_rises_over_its_warmup() -> None:
    found = _rates(Cosine(warmup=0.1))
    assert found[:7] == pytest.approx([n / 7 for n in range(1, 8)])
    assert found[7] == 1.0
    assert found[7:] == sorted(found[7:], reverse=True)


def test_plateau_is_torchs() -> None:
    losses = [5, 4, 4, 4, 4, 3, 3.5, 3.5, 3.5, 3.5]
    theirs = _theirs(
        # Their patience counts the epochs that are forgiven, ours those after which the rate falls.
        lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0),
        per_epoch=True,
        losses=losses,
    )
    assert _rates(Plateau(factor=0.5, patience=2), losses) == pytest.approx(theirs)
