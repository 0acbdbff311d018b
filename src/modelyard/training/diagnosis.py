"""What training curves say: over- or underfitting, or a training that ended too early, with the numbers.

The rules follow Goodfellow, Bengio and Courville 2016, Deep Learning, sections 5.2 and 7.8. Skill is how
much of the way from a constant answer to a perfect one a model goes: (accuracy - share of the largest class)
/ (1 - that share), or R2, so that one rule serves all tasks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from modelyard.types.report import FitVerdict

_GAP: Final = 0.1  # of skill between splits, beyond what chance allows
_LITTLE_SKILL: Final = 0.25
_RISE: Final = 0.15  # of the validation loss above its lowest, as a share of that
_RISE_OF_ALL: Final = 0.05  # and as a share of what the loss fell from
_STILL_FALLING: Final = 0.03  # of the watched loss, an epoch, at the end


@dataclass(frozen=True, kw_only=True)
class Skill:
    """A split's skill, its main metric, and one standard error of the skill."""

    skill: float
    metric: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`metric` names the main metric. `history` has "train/loss" and perhaps "validation/loss" by epoch.
    `kept_epoch` is the one whose weights were kept, where early stopping chose it; `may_go_on`: more epochs
    might help."""

    metric: str
    train: Skill
    validation: Skill | None
    history: Mapping[str, list[list[float]]]
    kept_epoch: int | None = None
    may_go_on: bool = False


def classification_skill(accuracy: float, largest_class: float, rows: int) -> Skill:
    """`largest_class`: the share of the most frequent class among `rows`."""
    room = max(1 - largest_class, 1 / rows)
    error = math.sqrt(max(accuracy * (1 - accuracy), 1 / (4 * rows)) / rows)
    return Skill(skill=(accuracy - largest_class) / room, metric=accuracy, error=error / room)


def regression_skill(rmse: float, deviation: float, rows: int) -> Skill:
    """R2 of `rows` targets with this standard deviation. Its error is roughly that of a squared
    correlation."""
    r2 = 1 - rmse**2 / deviation**2 if deviation > 0 else 0.0
    error = 2 * math.sqrt(max(0.0, min(1.0, r2))) * (1 - max(0.0, min(1.0, r2))) / math.sqrt(max(1, rows))
    return Skill(skill=r2, metric=rmse, error=error)


def diagnose(evidence: Evidence) -> FitVerdict:
    """The verdict with the strongest evidence first."""
    train, validation = evidence.train, evidence.validation
    scores = f"{evidence.metric} {train.metric:.4g} on train"
    if validation is None:
        return FitVerdict(verdict="unknown", why=f"{scores}; there is no validation split to compare it with")
    scores += f", {validation.metric:.4g} on validation"
    falling = _still_falling(evidence)
    if falling is not None:
        return FitVerdict(verdict="not converged", why=f"{falling}; {scores}: train for more epochs")
    if train.skill < _LITTLE_SKILL:
        why = f"{scores}: only {max(0.0, train.skill):.0%} of the way from a constant answer to a perfect one"
        return FitVerdict(verdict="underfitting", why=why)
    gap = train.skill - validation.skill
    allowed = _GAP + 2 * math.hypot(train.error, validation.error)
    rise = _rise(evidence)
    if gap > allowed or (rise is not None and evidence.kept_epoch is None):
        reasons = [scores]
        if gap > allowed:
            reasons.append(f"a gap of {gap:.2f} in skill, above the allowed {allowed:.2f}")
        reasons += [rise] if rise else []
        return FitVerdict(verdict="overfitting", why="; ".join(reasons))
    kept = f"; {rise}, and epoch {evidence.kept_epoch}'s weights were kept" if rise else ""
    why = f"{scores}: a gap of {gap:.2f} in skill, below the {allowed:.2f} that would be overfitting{kept}"
    return FitVerdict(verdict="good", why=why)


def diagnose_losses(
    history: Mapping[str, list[list[float]]], kept_epoch: int | None, may_go_on: bool
) -> FitVerdict:
    """The same of curves alone, where there is no skill to compare."""
    validation = history.get("validation/loss")
    if not history.get("train/loss"):
        return FitVerdict(verdict="unknown", why="there is no curve: it was solved in one go")
    none = Skill(skill=1.0, metric=0.0, error=0.0)
    evidence = Evidence(
        metric="loss",
        train=none,
        validation=none,
        history=history,
        kept_epoch=kept_epoch,
        may_go_on=may_go_on,
    )
    if falling := _still_falling(evidence):
        return FitVerdict(verdict="not converged", why=f"{falling}: train for more epochs")
    last = f"loss {history['train/loss'][-1][1]:.4g} on train"
    if not validation:
        return FitVerdict(verdict="unknown", why=f"{last}; there is no validation split to compare it with")
    last += f", {min(value for _, value in validation):.4g} on validation at its lowest"
    rise = _rise(evidence)
    if rise and kept_epoch is None:
        return FitVerdict(verdict="overfitting", why=f"{last}; {rise}")
    kept = f"; {rise}, and epoch {kept_epoch}'s weights were kept" if rise else ""
    return FitVerdict(verdict="good", why=f"{last}{kept}")


def diagnose_players(history: Mapping[str, list[list[float]]], metric: str) -> FitVerdict:
    """Of players that move in turn: their losses hold each other up, so only the figure says how it went."""
    points = history.get(f"validation/{metric}", [])
    if not points:
        return FitVerdict(verdict="unknown", why="the losses of players that move in turn do not say")
    (_, first), (_, last) = points[0], points[-1]
    epoch, best = min(points, key=lambda point: point[1])
    why = f"validation {metric} went from {first:.4g} to {last:.4g}; its lowest was {best:.4g} in epoch {epoch:g}"
    return FitVerdict(verdict="good" if best < first else "not converged", why=why)


def _still_falling(evidence: Evidence) -> str | None:
    name = "validation/loss" if "validation/loss" in evidence.history else "train/loss"
    losses = [value for _, value in evidence.history.get(name, [])]
    if not evidence.may_go_on or len(losses) < 3 or min(losses) != losses[-1] or losses[-3] <= 0:
        return None
    fall = 1 - (max(losses[-1], 0.0) / losses[-3]) ** 0.5
    return f"{name} still fell by {fall:.1%} an epoch at the end" if fall > _STILL_FALLING else None


def _rise(evidence: Evidence) -> str | None:
    points = evidence.history.get("validation/loss", [])
    if len(points) < 3:
        return None
    epoch, lowest = min(points, key=lambda point: point[1])
    last = points[-1][1]
    train = [value for _, value in evidence.history["train/loss"]]
    highest = max(value for _, value in points)
    small = last <= lowest * (1 + _RISE) or last - lowest <= _RISE_OF_ALL * (highest - lowest)
    if lowest <= 0 or small or train[-1] >= train[int(epoch) - 1]:
        return None
    return f"validation loss rose by {last / lowest - 1:.0%} after epoch {int(epoch)} while train loss fell"
