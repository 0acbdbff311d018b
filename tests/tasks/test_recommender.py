"""Answers of a recommender whose scores are given: what is left out, what is answered to whom, and errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard import tasks
from modelyard.errors import Corrupt, InvalidInput, UnknownName
from modelyard.tasks import interactions, queries
from modelyard.tasks.recommender import PreparedRecommender
from modelyard.types.dataset import Column, Schema

ROWS = [  # user, item, rating, time
    ("ann", 1, 5.0, 3),
    ("ann", 2, 1.0, 1),
    ("bob", 2, 4.0, 1),
    ("bob", 3, 4.0, 2),
    ("cid", 1, 3.0, 1),
    ("cid", 4, 2.0, 2),
    ("cid", 5, 5.0, 3),
]
TITLES = {1: "Alien", 2: "Brazil", 3: "Casablanca", 4: "Dune", 5: "Dune"}
SCHEMA = Schema(
    columns=(
        Column(name="user", kind="category"),
        Column(name="item", kind="integer"),
        Column(name="rating", kind="number"),
        Column(name="title", kind="category"),
        Column(name="timestamp", kind="integer"),
    ),
    label="rating",
)


def columns(titled: bool = True) -> dict[str, np.ndarray]:
    users, items, ratings, times = zip(*ROWS, strict=True)
    found = {
        "user": np.array(users, object),
        "item": np.array(items),
        "rating": np.array(ratings),
        "timestamp": np.array(times),
    }
    return found | ({"title": np.array([TITLES[k] for k in items], object)} if titled else {})


def prepared(
    folder: Path, name: str = "rating-prediction", **options: Any
) -> tuple[Any, PreparedRecommender, dict[str, Any]]:
    task = tasks.load(name)
    fitted = task.fit(columns(), SCHEMA, options, folder)
    found = task.prepare(fitted, folder)
    assert isinstance(found, PreparedRecommender)
    return task, found, fitted


def answers(
    task: Any, ready: PreparedRecommender, inputs: Any, scores: Any, personal: Any = 1.0
) -> list[Any]:
    """As a model with these scores for every row would answer."""
    arrays = ready.decode(task.sample(inputs))
    rows = len(arrays["query"])
    outputs = {
        "scores": np.tile(np.array(scores, np.float32), (rows, 1)),
        "personal": np.full(rows, personal, np.float32),
    }
    found: list[Any] = task.encode(ready.complete(arrays, outputs), (), {})
    return found


SCORES = [1.0, 2.0, 3.0, 4.0, 9.0]


def test_seen_and_excluded_items_are_left_out(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path)
    (found,) = answers(task, ready, {"user": "ann", "k": 2}, SCORES)
    assert [answer["item"] for answer in found] == ["5", "4"]
    assert found[0] == {"item": "5", "title": "Dune", "score": 5.0, "basis": "user"}  # within 1 to 5
    (found,) = answers(task, ready, {"user": "ann", "exclude": [5, "Casablanca", "unheard of"]}, SCORES)
    assert [answer["item"] for answer in found] == ["4"]
    (found,) = answers(task, ready, {"user": "ann", "include_seen": True}, SCORES)
    assert [answer["item"] for answer in found] == ["5", "4", "3", "2", "1"]
    (found,) = answers(task, ready, {"user": "cid", "exclude": [2, 3]}, SCORES)
    assert found == []


def test_one_item_has_a_score_and_a_place(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path)
    found = answers(task, ready, {"user": ["ann", "ann", "ann"], "item": [3, "Alien", 77]}, SCORES)
    assert found[0] == [{"item": "3", "title": "Casablanca", "score": 3.0, "basis": "user", "rank": 3}]
    assert found[1][0]["rank"] == 4  # of those that are not seen, and itself
    assert found[2] == [
        {"item": "77", "title": "", "score": pytest.approx(24 / 7), "basis": "unknown item", "rank": 6}
    ]


def test_somebody_new_gets_what_is_popular_and_is_told_so(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path, "recommendation")
    found = answers(task, ready, [{"user": "zoe", "k": 2}, {"k": 2}], SCORES, personal=0.0)
    assert [answer["item"] for answer in found[0]] == ["1", "2"]  # two of three users had them
    assert {answer["basis"] for answer in found[0] + found[1]} == {"popularity"}
    assert found[0] == found[1]
    assert found[0][0]["score"] == pytest.approx(2 / 3)


def test_liked_items_are_a_history(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path)
    arrays = ready.decode(
        task.sample([{"liked": ["Alien", 3]}, {"user": "ann", "liked": [3]}, {"user": "bob"}])
    )
    tensors = ready.transform(arrays)
    assert tensors["user"].tolist() == [3, 0, 1]
    assert tensors["history"].tolist() == [
        [0, 2, 5],
        [1, 0, 2],
        [1, 2, 5],
    ]  # the oldest first, filled up with 5
    assert tensors["ratings"].tolist() == [[5, 5, 0], [1, 5, 5], [4, 4, 0]]
    (found,) = answers(task, ready, {"liked": ["Alien", 3]}, SCORES)
    assert [answer["item"] for answer in found] == ["5", "4", "2"]
    assert found[0]["basis"] == "liked"
    with pytest.raises(InvalidInput, match=r"none of the liked items is known; came: .*Dune"):
        answers(task, ready, {"liked": ["Dune"]}, SCORES)  # a title of two


def test_the_newest_of_a_long_history_is_shown(tmp_path: Path) -> None:
    _, ready, _ = prepared(tmp_path, history=2)
    tensors = ready.transform(ready.decode({"user": ["cid"]}))
    assert tensors["history"].tolist() == [[3, 4]]
    assert set(ready.known.had(2).tolist()) == {0, 3, 4}  # of which none is recommended


def test_what_is_not_liked_is_seen_and_no_history(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path, "recommendation", threshold=3.5)
    assert ready.transform(ready.decode({"user": ["ann"]}))["history"].tolist() == [[0]]
    (found,) = answers(task, ready, {"user": "ann"}, SCORES)
    assert [answer["item"] for answer in found] == ["5", "4", "3"]
    made = task.examples(ready, columns(), columns()["rating"], ())
    assert made.targets["item"].tolist() == [[0, 5], [1, 2], [4, 5]]
    assert made.targets["weight"].tolist() == pytest.approx([0.75, 1.5, 0.75])
    assert made.ragged["item"].tolist() == [1, 2, 1]


def test_held_out_items_that_are_not_liked_do_not_count(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path, "recommendation", threshold=3.5)
    arrays = ready.decode({"user": ["ann", "ann", "bob"], "item": [3, 4, 5]})
    outputs = {"scores": np.tile(np.float32(SCORES), (3, 1)), "personal": np.ones(3, np.float32)}
    found = ready.complete(arrays, outputs)
    assert found["rank"].tolist() == [3, 2, 1]
    ratings = np.array([5.0, 1.0, 4.0])
    assert task.metrics(found, ratings, ()).values["mrr"] == pytest.approx((1 / 3 + 1) / 2)
    assert task.main(found, ratings) == pytest.approx((0.5 + 1) / 2)
    with pytest.raises(InvalidInput, match="no row of the split is liked"):
        task.metrics(found, ratings * 0, ())


def test_parameters_are_those_of_a_query(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path)
    changed = ready.adjusted(ready.decode({"user": ["ann"]}), {"k": 1, "include_seen": True})
    assert [(query.k, query.include_seen) for query in queries.decode(changed["query"])] == [(1, True)]
    with pytest.raises(UnknownName, match="k"):
        task.encode({}, (), {"top_k": 3})


@given(
    scores=st.lists(st.floats(-9, 9, width=32), min_size=5, max_size=5),
    user=st.sampled_from(["ann", "bob", "cid", "zoe"]),
    exclude=st.lists(st.integers(1, 7), max_size=4),
    k=st.integers(1, 9),
    seen=st.booleans(),
)
def test_answers_are_the_best_of_what_is_left(
    tmp_path_factory: pytest.TempPathFactory,
    scores: list[float],
    user: str,
    exclude: list[int],
    k: int,
    seen: bool,
) -> None:
    task, ready, _ = prepared(tmp_path_factory.mktemp("model"))
    query = {"user": user, "exclude": exclude, "k": k, "include_seen": seen}
    (found,) = answers(task, ready, [query], scores)
    had = {item for name, item, _, _ in ROWS if name == user and not seen}
    left = [item for item in range(1, 6) if item not in had and item not in exclude]
    best = sorted(left, key=lambda item: (-np.float32(scores[item - 1]), item))[:k]
    assert [answer["item"] for answer in found] == [str(item) for item in best]
    assert all(1 <= answer["score"] <= 5 for answer in found)


def test_examples_are_a_row_a_user(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path)
    held = {"user": np.array(["bob", "zoe", "bob", "ann"], object), "item": np.array([1, 1, 77, 3])}
    made = task.examples(ready, held, np.array([2.0, 5.0, 5.0, 4.0]), ())
    assert made.inputs["user"].tolist() == [0, 1]
    assert made.targets["item"].tolist() == [[2], [0]]
    assert made.targets["rating"].tolist() == [[4], [2]]
    assert made.inputs["history"].tolist() == [[1, 0], [1, 2]]
    with pytest.raises(InvalidInput, match="no row of the split"):
        task.examples(ready, {"user": np.array(["zoe"], object), "item": np.array([1])}, np.array([1.0]), ())


def test_the_last_row_of_a_pair_counts() -> None:
    known = interactions.gather(
        np.array(["a", "a", "a"], object),
        np.array([7, 8, 7]),
        np.array([1.0, 2.0, 3.0], np.float32),
        rated=True,
    )
    assert dict(known.items) == {"7": 0, "8": 1}
    assert known.item.tolist() == [1, 0]
    assert known.value.tolist() == [2, 3]


@pytest.mark.parametrize("values", [[None, "a"], [np.nan, 1.0]])
def test_missing_names_are_counted(values: list[Any]) -> None:
    with pytest.raises(InvalidInput, match="user column has missing values; came: 1 of 2 rows"):
        interactions.numbered(np.array(values, object if values[0] is None else float), "user")


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    task = tasks.load("recommendation")
    with pytest.raises(InvalidInput, match="no column 'customer'"):
        task.fit(columns(), SCHEMA, {"user": "customer"}, tmp_path)
    with pytest.raises(InvalidInput, match="a threshold needs a column of ratings"):
        task.fit(columns(), Schema(columns=SCHEMA.columns), {"threshold": 4}, tmp_path)
    with pytest.raises(InvalidInput, match="needs a column of users and one of items"):
        task.check(Schema(columns=SCHEMA.columns[:1]), "")
    with pytest.raises(InvalidInput, match="needs a target of ratings"):
        tasks.load("rating-prediction").check(SCHEMA, "title")


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    task, _, fitted = prepared(tmp_path)
    (tmp_path / interactions.CATALOGUE).write_text('{"users": ["a"], "items": ["b"]}')
    with pytest.raises(Corrupt, match="does not fit the catalogue"):
        task.prepare(fitted, tmp_path)
    (tmp_path / interactions.CATALOGUE).write_text("{")
    with pytest.raises(Corrupt, match="cannot be read"):
        task.prepare(fitted, tmp_path)


def test_the_exhibit_shows_what_was_liked_beside_what_is_recommended(tmp_path: Path) -> None:
    task, ready, _ = prepared(tmp_path)

    def predict(arrays: Any) -> Any:
        rows = len(arrays["query"])
        outputs = {"scores": np.tile(np.float32(SCORES), (rows, 1)), "personal": np.ones(rows, np.float32)}
        return ready.complete(arrays, outputs)

    held = {
        "user": np.array(["bob", "ann", "bob"], object),
        "item": np.array([5, 3, 1]),
        "rating": np.ones(3),
    }
    (shown,) = task.exhibits(predict, ready, held, ())
    assert shown.rows == (
        ("bob", "Casablanca · Brazil", "Dune · Dune · Alien", "Dune"),
        ("ann", "Alien · Brazil", "Dune · Dune · Casablanca", "Casablanca"),
    )
