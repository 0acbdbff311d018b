"""What tasks of recommendation share when they are served: queries into the engine's tensors, scores into answers.

The engine is fed `user` INT64 [rows] (the number of users for somebody unknown), `history` INT64 [rows, longest],
the numbers of items that the user had (the number of items where a row is shorter), and `ratings` FP32 of the same
shape, what they were to the user. It answers `scores` FP32 [rows, items] and `personal` FP32 [rows], 1 where these
are the row's own and 0 where the net knows nothing of the row: what is popular is answered then, and says so.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import interactions, queries, ranking
from modelyard.tasks.answers import finite
from modelyard.tasks.contract import Array, Columns
from modelyard.tasks.interactions import Floats, Interactions, Ints
from modelyard.tasks.queries import QUERY, Query

MOST: Final = 100
"""Items of a row's answer, unless a recipe says otherwise."""
USER, LIKED, POPULARITY, UNKNOWN_ITEM = b"user", b"liked", b"popularity", b"unknown item"
"""What an answer goes by."""


class PreparedRecommender:
    """See `contract.Completing`.

    names      the data set's columns of users and of items
    known      the training split's interactions, read from the package's folder once
    threshold  the least rating that means that an item is liked, where ratings are not learnt from; None: all are
    """

    def __init__(self, preprocessing: Mapping[str, Any], folder: Path | None) -> None:
        self._folder = folder
        self.names = (str(preprocessing["user"]), str(preprocessing["item"]))
        self._columns = dict(zip(self.names, ("user", "item"), strict=True))
        self._rated = preprocessing["feedback"] == "explicit"
        self._k, self._most = int(preprocessing["k"]), int(preprocessing["most"])
        self._longest = int(preprocessing["history"])
        self._lowest, self._highest = float(preprocessing["lowest"]), float(preprocessing["highest"])
        self._mean = float(preprocessing["mean"])
        self.threshold: float | None = preprocessing.get("threshold")
        if folder is not None:
            self.known  # noqa: B018  what cannot be read is to be known now

    @cached_property
    def known(self) -> Interactions:
        if self._folder is None:
            raise InvalidInput("queries need the package's folder", allowed="prepare(preprocessing, folder)")
        return interactions.read(self._folder)

    def decode(self, columns: Columns) -> dict[str, Array]:
        """Columns as `queries.KEYS` names them, or as the data set does: `query` BYTES [rows]."""
        return {QUERY: queries.encode({self._columns.get(n, n): values for n, values in columns.items()})}

    def adjusted(self, arrays: Mapping[str, Array], parameters: Mapping[str, Any]) -> dict[str, Array]:
        """See `dialects.contract.Adjusting`: what a request's parameters say holds for all of its queries."""
        return {QUERY: queries.changed(_texts(arrays), parameters)}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """`user`, `history` and `ratings`."""
        people = [self._who(query) for query in queries.decode(_texts(arrays))]
        found = [self.history(user, liked) for user, liked in people]
        users = np.array([user for user, _ in people], np.int64)
        return {"user": users, **padded(found, len(self.known.items))}

    def history(self, user: int, liked: Ints) -> tuple[Ints, Floats]:
        """Items that somebody had and what they are to them, the newest ones where they are too many."""
        had, values = self.known.had(user), self.known.values(user)
        if not self._rated:
            had, values = had[values > 0], values[values > 0]
        if len(liked):
            new = np.isin(had, liked, invert=True)
            had = np.concatenate([had[new], liked])
            values = np.concatenate([values[new], np.full(len(liked), self._highest, np.float32)])
        return had[-self._longest :], values[-self._longest :]

    def complete(self, arrays: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The `signature`'s outputs; with them `prediction` and `threshold`, for `Task.metrics`."""
        asked = queries.decode(_texts(arrays))
        scores, personal = finite(outputs["scores"]), outputs["personal"] > 0.5
        answer = self._blank(len(asked))
        for row, query in enumerate(asked):
            user, liked = self._who(query)
            known = user < len(self.known.users)
            values = scores[row] if personal[row] else self.known.popular
            answer["basis"][row] = POPULARITY if not personal[row] else USER if known else LIKED
            allowed = self._allowed(query, user, liked)
            if query.item is None:
                items = ranking.best(values, allowed, self._most)
                answer["count"][row] = min(query.k or self._k, len(items))
                self._fill(answer, row, items, values)
            else:
                self._fill_one(answer, row, query.item, values, allowed)
        answer["prediction"] = answer["score"][:, 0]
        if self.threshold is not None:
            answer["threshold"] = np.full(len(asked), self.threshold)
        return answer

    def favourites(self, user: str | int, most: int) -> list[str]:
        """What a user liked best, the newest first, as people call it."""
        number = self.known.users.get(str(user), len(self.known.users))
        had, values = self.known.had(number)[::-1], self.known.values(number)[::-1]
        return [self.called(self._names[k].decode()) for k in had[np.argsort(-values, kind="stable")[:most]]]

    def called(self, item: str | int) -> str:
        """An item's title, or its name."""
        number = self.known.items.get(str(item))
        return str(item) if number is None or self.known.titles is None else self.known.titles[number]

    def _blank(self, rows: int) -> dict[str, Array]:
        found = {
            "item": _texts_of(rows, self._most),
            "score": np.zeros((rows, self._most), np.float32),
            "count": np.ones(rows, np.int64),
            "basis": _texts_of(rows),
            "rank": np.zeros(rows, np.int64),
        }
        return found if self.known.titles is None else found | {"title": _texts_of(rows, self._most)}

    def _fill(self, answer: Mapping[str, Array], row: int, items: Ints, values: Floats) -> None:
        shown, scores = slice(len(items)), values[items]
        answer["item"][row, shown] = self._names[items]
        # Ratings are told within those that there were; they are ranked as they came.
        answer["score"][row, shown] = np.clip(scores, self._lowest, self._highest) if self._rated else scores
        if "title" in answer:
            answer["title"][row, shown] = self._titles[items]

    def _fill_one(
        self, answer: Mapping[str, Array], row: int, name: str | int, values: Floats, allowed: Array
    ) -> None:
        """The score of one item and its place; of one that nobody had, the mean rating, or the lowest score."""
        found = self._item(name)
        if found is not None:
            answer["rank"][row] = ranking.rank(values, allowed, found)
            self._fill(answer, row, np.array([found]), values)
            return
        answer["rank"][row], answer["basis"][row] = len(values) + 1, UNKNOWN_ITEM
        answer["item"][row, 0] = str(name).encode()
        answer["score"][row, 0] = self._mean if self._rated else values.min()

    def _who(self, query: Query) -> tuple[int, Ints]:
        """The user's number, and those of the items that a query says are liked."""
        users = self.known.users
        user = users.get(str(query.user), len(users)) if query.user is not None else len(users)
        found = [number for name in query.liked if (number := self._item(name)) is not None]
        if query.liked and not found:
            raise InvalidInput(
                "none of the liked items is known", came=list(query.liked)[:5], allowed=list(self._examples)
            )
        return user, np.array(list(dict.fromkeys(found)), np.int64)

    def _item(self, name: str | int) -> int | None:
        """By its name, or else its title."""
        found = self.known.items.get(str(name))
        return self._by_title.get(str(name)) if found is None else found

    def _allowed(self, query: Query, user: int, liked: Ints) -> Array:
        """Which items may be answered, bool [items]."""
        allowed = np.ones(len(self.known.items), bool)
        if not query.include_seen:
            allowed[self.known.had(user)] = False
            allowed[liked] = False
        for name in query.exclude:
            if (number := self._item(name)) is not None:
                allowed[number] = False
        return allowed

    @cached_property
    def _names(self) -> Array:
        return _objects(list(self.known.items))

    @cached_property
    def _titles(self) -> Array:
        return _objects(self.known.titles or ())

    @cached_property
    def _by_title(self) -> dict[str, int]:
        """Titles of one item alone."""
        titles = self.known.titles or ()
        counts = Counter(titles)
        return {title: k for k, title in enumerate(titles) if counts[title] == 1}

    @cached_property
    def _examples(self) -> Sequence[str]:
        """What an item may be called, for messages: the most popular ones."""
        items = np.argsort(-self.known.popular, kind="stable")[:5]
        return [self._names[k].decode() for k in items]


def padded(found: Sequence[tuple[Ints, Floats]], items: int) -> dict[str, Array]:
    """Rows of several lengths as `history` and `ratings` [rows, longest, 1 at least]."""
    longest = max(1, *(len(numbers) for numbers, _ in found))
    history = np.full((len(found), longest), items, np.int64)
    ratings = np.zeros((len(found), longest), np.float32)
    for row, (numbers, values) in enumerate(found):
        history[row, : len(numbers)], ratings[row, : len(numbers)] = numbers, values
    return {"history": history, "ratings": ratings}


def _texts(arrays: Mapping[str, Array]) -> Array:
    if arrays.keys() != {QUERY}:
        raise InvalidInput("one input is needed", came=sorted(arrays), allowed=[QUERY])
    return arrays[QUERY]


def _texts_of(*shape: int) -> Array:
    array = np.empty(shape, object)
    array.fill(b"")
    return array


def _objects(values: Sequence[str]) -> Array:
    array = np.empty(len(values), object)
    array[:] = [value.encode() for value in values]
    return array
