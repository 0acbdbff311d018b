"""The target of object detection: a column of JSON that says which objects a picture has and where.

    {"bbox": [[x, y, width, height], ...], "categories": ["Coat", ...]}

as Hugging Face's image folders and COCO write boxes, in pixels of the picture from its upper left corner. What
else stands there (an id, an area) is left alone; `category` may stand for `categories`; their values are names or
numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks.boxes import corners

FORM: Final = '{"bbox": [[x, y, width, height], ...], "categories": ["name", ...]}'


class Objects(NamedTuple):
    """`boxes` float64 [objects, 4] of xmin, ymin, xmax, ymax in pixels; `names` [objects]."""

    boxes: npt.NDArray[np.float64]
    names: tuple[str, ...]


class Truth(NamedTuple):
    """The same with numbers of a model's classes, int64 [objects]."""

    boxes: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]


class _Given(msgspec.Struct):
    bbox: list[tuple[float, float, float, float]]
    categories: list[str | int] | None = None
    category: list[str | int] | None = None


def read(column: Iterable[Any]) -> list[Objects]:
    """A column's values. Raises InvalidInput naming the row (from 0) that is missing or of another form."""
    return [_read(value, row) for row, value in enumerate(column)]


def class_names(column: Iterable[Any]) -> tuple[str, ...]:
    """Every name in a column, numbers by value and before all else."""
    return tuple(sorted({name for objects in read(column) for name in objects.names}, key=_by_value))


def truths(column: Iterable[Any], labels: Sequence[str]) -> npt.NDArray[np.object_]:
    """A column as an array of `Truth`, [rows]. Raises InvalidInput also on names that are not in `labels`."""
    numbers = {label: k for k, label in enumerate(labels)}
    given = read(column)
    unknown = sorted({name for objects in given for name in objects.names} - numbers.keys())
    if unknown:
        raise InvalidInput("the objects have unknown classes", came=unknown[:5], allowed=list(labels)[:20])
    found = np.empty(len(given), object)
    for row, (boxes, names) in enumerate(given):
        found[row] = Truth(boxes, np.array([numbers[name] for name in names], np.int64))
    return found


def padded(
    found: Sequence[Truth] | npt.NDArray[np.object_],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Boxes float64 [rows, most, 4] and classes int64 [rows, most] of all rows, at least one a row; where a row has
    fewer objects, its boxes are 0 and its classes -1."""
    most = max(1, *(len(truth.classes) for truth in found)) if len(found) else 1
    boxes, classes = np.zeros((len(found), most, 4)), np.full((len(found), most), -1, np.int64)
    for row, truth in enumerate(found):
        boxes[row, : len(truth.boxes)], classes[row, : len(truth.classes)] = truth
    return boxes, classes


def _read(value: Any, row: int) -> Objects:
    if value is None:
        raise InvalidInput(
            f"row {row} says nothing of its objects",
            allowed=f'{FORM}; {{"bbox": [], "categories": []}}: none',
        )
    try:
        given = msgspec.convert(value, _Given) if isinstance(value, Mapping) else _decode(value)
    except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
        raise InvalidInput(f"the objects of row {row} are not of their form: {error}", allowed=FORM) from None
    names = given.categories if given.categories is not None else given.category
    if names is None or len(names) != len(given.bbox):
        came = f"{len(given.bbox)} boxes, {len(names or [])} categories"
        raise InvalidInput(f"row {row} has not one category for each box", came=came, allowed=FORM)
    boxes = np.array(given.bbox, np.float64).reshape(-1, 4)
    bad = np.flatnonzero(~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)))
    if len(bad):
        came = f"{given.bbox[bad[0]]} in row {row}"
        raise InvalidInput("a box has no area", came=came, allowed="width and height above 0")
    return Objects(corners(boxes), tuple(map(str, names)))


def _decode(value: Any) -> _Given:
    return msgspec.json.decode(value, type=_Given)


def _by_value(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name
