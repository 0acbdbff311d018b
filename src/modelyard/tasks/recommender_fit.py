"""What tasks of recommendation share when they are trained: fitted parameters, and rows to train on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import interactions
from modelyard.tasks.answers import number_targets
from modelyard.tasks.contract import Array, Columns, Examples
from modelyard.tasks.interactions import Floats, Ints
from modelyard.tasks.options import resolve
from modelyard.tasks.recommender import MOST, PreparedRecommender, padded

Feedback = Literal["explicit", "implicit"]
_TITLE: Final = "title"
_TIME: Final = "timestamp"
_Rows = list[tuple[Ints, Floats]]


class RecommenderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing`: names of columns, and what is answered.

    title    what items are called, for people; None: the column "title", where there is one
    time     what orders a user's rows; None: the column "timestamp", where there is one, or else their order
    k        items of an answer, where a caller does not say
    most     items of an answer at most
    history  of a user's interactions, how many of the newest a net is shown
    """

    user: str = "user"
    item: str = "item"
    title: str | None = None
    time: str | None = None
    k: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)] = MOST
    history: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 512


def fit(
    columns: Columns, options: RecommenderOptions, value: Floats, feedback: Feedback, folder: Path | None
) -> dict[str, Any]:
    """The parameters, with the interactions as files in `folder`. `value` [rows] are ratings, or 1 for what is
    liked and 0 for what is not. Raises InvalidInput naming the columns that are missing."""
    if folder is None:
        raise InvalidInput("interactions are written into the package's folder", allowed="fit(..., folder)")
    needed = [options.user, options.item, *(name for name in (options.title, options.time) if name)]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InvalidInput(
            f"the data set has no column {missing[0]!r}",
            came=sorted(columns),
            allowed="the columns that preprocessing.user, item, title and time name",
        )
    known = interactions.gather(
        columns[options.user],
        columns[options.item],
        value,
        rated=feedback == "explicit",
        titles=columns.get(options.title or _TITLE),
        times=columns.get(options.time or _TIME),
    )
    known.write(folder)
    ratings = known.value if feedback == "explicit" else np.ones(1)
    return {
        "user": options.user,
        "item": options.item,
        "users": len(known.users),
        "items": len(known.items),
        "titles": known.titles is not None,
        "feedback": feedback,
        "k": min(options.k, options.most),
        "most": options.most,
        "history": options.history,
        "mean": float(np.mean(ratings)),
        "lowest": float(np.min(ratings)),
        "highest": float(np.max(ratings)),
    }


def resolved(options: Mapping[str, Any], struct: type[RecommenderOptions]) -> Any:
    return resolve(struct, options, "preprocessing")


def examples(prepared: PreparedRecommender, users: Any, items: Any, value: Floats) -> Examples:
    """A row for each user of a split.

    inputs   `user`, `history` and `ratings`, as the engine is fed them: of the training split
    targets  `item` INT64 [rows, longest], filled up with the number of items, and `rating` FP32 of the same shape:
             of this split. `weight` FP32 [rows]: the user's interactions in it over their mean, so that a mean over
             rows of weighted means is the mean over interactions

    Rows with a user or an item that training does not know are left out. Raises InvalidInput where none is left.
    """
    known = prepared.known
    user, item = _numbers(users, known.users), _numbers(items, known.items)
    kept = (user >= 0) & (item >= 0)
    user, item, value = user[kept], item[kept], value[kept].astype(np.float32)
    if not len(user):
        raise InvalidInput("no row of the split has a user and an item that the training split has")
    order = np.argsort(user, kind="stable")
    user, item, value = user[order], item[order], value[order]
    who, start = np.unique(user, return_index=True)
    ends = np.append(start[1:], len(user))
    none = np.empty(0, np.int64)
    shown: _Rows = [prepared.history(int(one), none) for one in who]
    wanted: _Rows = [(item[a:b], value[a:b]) for a, b in zip(start, ends, strict=True)]
    counts = ends - start
    targets = padded(wanted, len(known.items))
    return Examples(
        inputs={"user": who, **padded(shown, len(known.items))},
        targets={
            "item": targets["history"],
            "rating": targets["ratings"],
            "weight": (counts / counts.mean()).astype(np.float32),
        },
        ragged={
            **dict.fromkeys(("history", "ratings"), _lengths(shown)),
            **dict.fromkeys(("item", "rating"), _lengths(wanted)),
        },
    )


def ratings(column: Any) -> Array:
    """A column of ratings, float32 [rows]. Raises InvalidInput."""
    return number_targets(column).astype(np.float32)


def _numbers(column: Any, known: Mapping[str, int]) -> Ints:
    """Each row's number of its name, -1 for a name that is not known."""
    names, number = interactions.numbered(column, "user or item")
    return np.array([known.get(name, -1) for name in names], np.int64)[number]


def _lengths(rows: _Rows) -> Ints:
    return np.array([len(numbers) for numbers, _ in rows], np.int64)
