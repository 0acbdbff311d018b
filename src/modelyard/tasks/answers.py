"""What tasks of one kind share on the way out: class probabilities as labels with scores, and targets."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Array
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Schema


class ClassParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may ask of a classifier. The engine answers probabilities, so softmax is the one
    function."""

    top_k: int | None = None
    function_to_apply: str | None = None


class NoParameters(msgspec.Struct, frozen=True, kw_only=True):
    """A regressor has none."""


def check_class_target(schema: Schema, target: str, task: str) -> None:
    """Raises InvalidInput unless `target` is a column whose values can be classes."""
    column = schema.column(target)
    there = [f"{c.name} ({c.kind})" for c in schema.columns]
    if column is None:
        raise InvalidInput("there is no such target column", came=target, allowed=there)
    if column.kind not in ("category", "boolean", "integer"):
        raise InvalidInput(
            f"{task} needs a target of classes",
            came=f"{target} ({column.kind})",
            allowed="category, boolean, integer",
        )


def class_answers(
    outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any], top_k: int | None
) -> list[list[dict[str, Any]]]:
    """`probabilities` [rows, classes] as {"label", "score"} by falling score, a list a row. `top_k` is the
    default: None for all classes."""
    given = resolve(ClassParameters, parameters, "parameters") if parameters else ClassParameters()
    if given.function_to_apply not in (None, "softmax"):
        raise InvalidInput("unknown function_to_apply", came=given.function_to_apply, allowed="softmax")
    if given.top_k is not None and given.top_k < 1:
        raise InvalidInput("top_k is out of range", came=given.top_k, allowed="1 or more")
    p = finite(outputs["probabilities"])
    order = np.argsort(-p, axis=1, kind="stable")[:, : given.top_k or top_k or len(labels)].tolist()
    return [
        [{"label": labels[k], "score": scores[k]} for k in row]
        for row, scores in zip(order, p.tolist(), strict=True)
    ]


def finite(outputs: Array) -> Array:
    """Outputs that can be answered. Inputs far outside of the training data can overflow a model's
    arithmetic."""
    if not np.isfinite(outputs).all():
        raise InvalidInput(
            "the model has no finite answer to this input: its values are too far from training's"
        )
    return outputs


def class_targets(column: Any, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Values of the label column as numbers of `labels`, int64 [rows]."""
    numbers = {label: k for k, label in enumerate(labels)}
    names = [label_name(value) for value in _listed(column)]
    missing = sum(name is None for name in names)
    if missing:
        raise InvalidInput("the label column has missing values", came=f"{missing} of {len(names)} rows")
    unknown = sorted({str(name) for name in names} - set(numbers))
    if unknown:
        raise InvalidInput(
            "the label column has unknown classes", came=unknown[:5], allowed=list(labels)[:20]
        )
    return np.array([numbers[str(name)] for name in names], dtype=np.int64)


def label_name(value: object) -> str | None:
    """A label's value as the data set's `class_names` write it, None for a missing one."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode() if isinstance(value, bytes) else str(value)


def number_targets(column: Any) -> npt.NDArray[np.float64]:
    """Values of the target column, float64 [rows]."""
    try:
        values = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("the target column is not of numbers") from None
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise InvalidInput(
            "the target column has missing or infinite values", came=f"{bad} of {len(values)} rows"
        )
    return values


def _listed(column: Any) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)
