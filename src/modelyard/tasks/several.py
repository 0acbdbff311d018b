"""Several targets at once: an output for each, named after it, and labels that say whose they are.

A model of the targets `risk` and `amount` answers `probabilities.risk` or `prediction.risk`, and so on. Its
labels are those of all targets, as "risk=good". What targets are compared with is [rows, targets].
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Array
from modelyard.types.report import Metrics
from modelyard.types.tensor import TensorSpec


class One(NamedTuple):
    """What is of one target: its outputs under their plain name, and what they are compared with [rows]."""

    name: str
    outputs: dict[str, Array]
    targets: Array
    labels: tuple[str, ...]


def are(outputs: Mapping[str, Any]) -> bool:
    """Whether these outputs are of several targets."""
    return all("." in name for name in outputs)


def check(targets: Sequence[str]) -> None:
    """Raises InvalidInput for names that outputs and labels could not be told apart by."""
    odd = [name for name in targets if "=" in name]
    if odd or len(set(targets)) < len(targets) or len(targets) < 2:
        raise InvalidInput(
            "recipe.target needs names of columns",
            came=list(targets),
            allowed="two or more, each once, without '='",
        )


def labelled(name: str, labels: Sequence[str]) -> tuple[str, ...]:
    """A target's own labels as labels of the model."""
    return tuple(f"{name}={label}" for label in labels)


def labels_of(name: str, labels: Sequence[str]) -> tuple[str, ...]:
    """A target's own among the model's labels."""
    return tuple(label[len(name) + 1 :] for label in labels if label.startswith(f"{name}="))


def renamed(spec: TensorSpec, name: str) -> TensorSpec:
    """An output as that of a target."""
    return msgspec.structs.replace(spec, name=f"{spec.name}.{name}")


def each(outputs: Mapping[str, Array], labels: Sequence[str], targets: Array | None = None) -> Iterator[One]:
    """What is of each target, in the order of the outputs, which is that of the last axis of `targets`."""
    for place, (key, values) in enumerate(outputs.items()):
        plain, _, name = key.partition(".")
        compared = np.empty(0) if targets is None else targets[:, place]
        yield One(name, {plain: values}, compared, labels_of(name, labels))


def together(found: Mapping[str, Metrics]) -> Metrics:
    """Figures of several targets as one: each figure's mean over those that have it (scikit-learn's "uniform
    average"), and those of each as "figure (target)"."""
    first = next(iter(found.values()))
    values: dict[str, float] = {}
    for figure in dict.fromkeys(figure for metrics in found.values() for figure in metrics.values):
        values[figure] = float(np.mean([m.values[figure] for m in found.values() if figure in m.values]))
    for name, metrics in found.items():
        values |= {f"{figure} ({name})": value for figure, value in metrics.values.items()}
    per_class = {f"{name}={label}": row for name, m in found.items() for label, row in m.per_class.items()}
    return Metrics(
        main=first.main, higher_is_better=first.higher_is_better, values=values, per_class=per_class
    )
