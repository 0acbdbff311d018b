"""Who had what: the users, items and interactions of a training split, as files of the package.

A package holds `catalogue.json`, {"users": [names], "items": [names], "titles": [texts] or null} in their numbers'
order, and `interactions.safetensors`:

    start    INT64 [users + 1]: a user's rows are start[user] up to start[user + 1], the oldest first
    item     INT32 [rows]
    value    FP32 [rows]: a rating, or without ratings 1, and 0 for what was had and not liked
    popular  FP32 [items]: an item's score to somebody new
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import Corrupt, InvalidInput
from modelyard.tasks.answers import label_name

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
CATALOGUE: Final = "catalogue.json"
INTERACTIONS: Final = "interactions.safetensors"
_DAMPING: Final = 10.0  # ratings of the mean that an item begins with


class _Names(msgspec.Struct, frozen=True):
    users: list[str]
    items: list[str]
    titles: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """See the module. `users` and `items` map a name to its number."""

    users: Mapping[str, int]
    items: Mapping[str, int]
    titles: tuple[str, ...] | None
    start: Ints
    item: Ints
    value: Floats
    popular: Floats

    def had(self, user: int) -> Ints:
        """Numbers of all items that the user had, the oldest first; none of a number that is no user's."""
        return self.item[self._rows(user)]

    def values(self, user: int) -> Floats:
        """What `had` is worth."""
        return self.value[self._rows(user)]

    def _rows(self, user: int) -> slice:
        return slice(*self.start[user : user + 2].tolist()) if user < len(self.users) else slice(0)

    def write(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        names = _Names(list(self.users), list(self.items), None if self.titles is None else list(self.titles))
        (folder / CATALOGUE).write_bytes(msgspec.json.encode(names))
        arrays = {"start": self.start, "item": self.item.astype(np.int32), "value": self.value}
        save_file({**arrays, "popular": self.popular}, folder / INTERACTIONS)


def read(folder: Path) -> Interactions:
    """Of a package's folder. Raises Corrupt."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        names = msgspec.json.decode((folder / CATALOGUE).read_bytes(), type=_Names)
        arrays = load_file(folder / INTERACTIONS)
        start, item, value, popular = (arrays[name] for name in ("start", "item", "value", "popular"))
    except (SafetensorError, msgspec.DecodeError, OSError, ValueError, KeyError) as error:
        raise Corrupt.because(INTERACTIONS, "or the catalogue cannot be read") from error
    fits = len(start) == len(names.users) + 1 and len(popular) == len(names.items) and len(item) == len(value)
    if not fits or (len(item) and not 0 <= item.min() <= item.max() < len(popular)):
        raise Corrupt.because(INTERACTIONS, "does not fit the catalogue")
    return Interactions(
        users={name: k for k, name in enumerate(names.users)},
        items={name: k for k, name in enumerate(names.items)},
        titles=None if names.titles is None else tuple(names.titles),
        start=start.astype(np.int64),
        item=item.astype(np.int64),
        value=value.astype(np.float32),
        popular=popular.astype(np.float32),
    )


def gather(
    users: Any, items: Any, value: Floats, *, rated: bool, titles: Any = None, times: Any = None
) -> Interactions:
    """Of columns [rows]. `value` are ratings where it is `rated`. Of a user's rows with one item the last counts.

    Raises InvalidInput for missing names.
    """
    user_names, user = numbered(users, "user")
    item_names, item = numbered(items, "item")
    when = np.zeros(len(user)) if times is None else np.asarray(times)
    order = np.lexsort((when, user))  # stable: rows of one time keep their order
    order = order[_last_of_each(user[order], item[order])]
    user, item, value = user[order], item[order], value[order].astype(np.float32)
    popular = (
        _damped_means(item, value, len(item_names))
        if rated
        else _shares(item, value, len(user_names), len(item_names))
    )
    return Interactions(
        users={name: k for k, name in enumerate(user_names)},
        items={name: k for k, name in enumerate(item_names)},
        titles=None if titles is None else _titles(item_names, items, titles),
        start=np.searchsorted(user, np.arange(len(user_names) + 1)).astype(np.int64),
        item=item,
        value=value,
        popular=popular,
    )


def numbered(column: Any, what: str) -> tuple[list[str], Ints]:
    """The names in a column, numbers by value and texts by letters, and each row's number of its name."""
    values = np.asarray(column)
    listed = values.tolist()
    missing = sum(value is None or value != value for value in listed)
    if missing:
        raise InvalidInput(f"the {what} column has missing values", came=f"{missing} of {len(listed)} rows")
    found, number = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
    return [str(label_name(value)) for value in found.tolist()], number.reshape(-1).astype(np.int64)


def _last_of_each(user: Ints, item: Ints) -> Ints:
    """Places of the last row of each pair, in their order."""
    pairs = user * (int(item.max(initial=0)) + 1) + item
    _, from_end = np.unique(pairs[::-1], return_index=True)
    return np.sort(len(pairs) - 1 - from_end)


def _titles(names: list[str], items: Any, titles: Any) -> tuple[str, ...]:
    """The last title of each item; its name where that is missing."""
    _, number = numbered(items, "item")
    found = dict(enumerate(names))
    found |= {
        k: t for k, t in zip(number.tolist(), np.asarray(titles).tolist(), strict=True) if t is not None
    }
    return tuple(str(found[k]) for k in range(len(names)))


def _shares(item: Ints, value: Floats, users: int, items: int) -> Floats:
    """The share of users who had and liked an item."""
    return (np.bincount(item, value, items) / users).astype(np.float32)


def _damped_means(item: Ints, value: Floats, items: int) -> Floats:
    """Mean ratings, as if each item had some ratings of the mean before."""
    sums, counts = np.bincount(item, value, items), np.bincount(item, minlength=items)
    mean = float(np.mean(value)) if len(value) else 0.0
    return ((sums + _DAMPING * mean) / (counts + _DAMPING)).astype(np.float32)
