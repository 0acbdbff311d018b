import pytest

from modelyard.training.diagnosis import Evidence, classification_skill, diagnose, regression_skill


def _curve(values: list[float]) -> list[list[float]]:
    return [[epoch, value] for epoch, value in enumerate(values, start=1)]


FLAT = {
    "train/loss": _curve([1.0, 0.5, 0.3, 0.29, 0.29]),
    "validation/loss": _curve([1.0, 0.6, 0.4, 0.4, 0.4]),
}
RISING = {
    "train/loss": _curve([1.0, 0.5, 0.2, 0.1, 0.05]),
    "validation/loss": _curve([1.0, 0.6, 0.7, 0.9, 1.2]),
}
FALLING = {"train/loss": _curve([1.0, 0.8, 0.6, 0.5]), "validation/loss": _curve([1.0, 0.8, 0.65, 0.5])}


def _evidence(train: float, validation: float | None, rows: int = 1000, **rest: object) -> Evidence:
    given = {"history": FLAT, **rest}
    return Evidence(
        metric="accuracy",
        train=classification_skill(train, 0.1, rows * 8),
        validation=None if validation is None else classification_skill(validation, 0.1, rows),
        **given,  # type: ignore[arg-type]
    )


def test_good() -> None:
    found = diagnose(_evidence(0.96, 0.93))
    assert found.verdict == "good"
    assert "accuracy 0.96 on train, 0.93 on validation" in found.why


def test_a_gap_between_splits_is_overfitting() -> None:
    found = diagnose(_evidence(1.0, 0.75))
    assert found.verdict == "overfitting"
    assert "a gap of 0.28 in skill" in found.why


def test_few_rows_allow_a_wider_gap() -> None:
    assert diagnose(_evidence(1.0, 0.8, rows=1000)).verdict == "overfitting"
    assert diagnose(_evidence(1.0, 0.8, rows=15)).verdict == "good"


def test_a_rising_validation_loss_is_overfitting_unless_the_best_epoch_was_kept() -> None:
    found = diagnose(_evidence(0.99, 0.93, history=RISING))
    assert found.verdict == "overfitting"
    assert "validation loss rose by 100% after epoch 2" in found.why
    kept = diagnose(_evidence(0.95, 0.93, history=RISING, kept_epoch=2))
    assert kept.verdict == "good"
    assert "epoch 2's weights were kept" in kept.why


def test_little_skill_on_train_is_underfitting() -> None:
    found = diagnose(_evidence(0.2, 0.19))
    assert found.verdict == "underfitting"
    assert "11% of the way" in found.why


def test_a_loss_that_still_falls_is_not_converged() -> None:
    found = diagnose(_evidence(0.8, 0.8, history=FALLING, may_go_on=True))
    assert found.verdict == "not converged"
    assert "still fell" in found.why
    assert diagnose(_evidence(0.8, 0.8, history=FALLING)).verdict == "good"


def test_without_validation_it_is_unknown() -> None:
    assert diagnose(_evidence(1.0, None)).verdict == "unknown"


def test_skill_is_0_for_a_constant_answer_and_1_for_a_perfect_one() -> None:
    assert classification_skill(0.6, 0.6, 10).skill == 0
    assert classification_skill(1.0, 0.6, 10).skill == pytest.approx(1)
    assert classification_skill(1.0, 1.0, 10).skill == 0
    assert regression_skill(2.0, 2.0, 10).skill == 0
    assert regression_skill(0.0, 2.0, 10).skill == 1
    assert regression_skill(1.0, 0.0, 10).skill == 0
