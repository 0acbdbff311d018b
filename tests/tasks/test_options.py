from typing import Annotated, Any

import msgspec
import pytest

from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks.options import resolve


class Inner(msgspec.Struct, frozen=True):
    depth: Annotated[int, msgspec.Meta(ge=1)] = 3


class Round(msgspec.Struct, frozen=True, tag_field="name", tag="round"):
    radius: float = 1.0


class Square(msgspec.Struct, frozen=True, tag_field="name", tag="square"):
    side: float = 1.0


class Outer(msgspec.Struct, frozen=True):
    rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    inner: Inner | None = None
    shape: Round | Square = Round()


def test_what_is_given_goes_over_the_defaults() -> None:
    found = resolve(Outer, {"rate": 1, "inner": {"depth": 5}, "shape": {"name": "square"}}, "top")
    assert found == Outer(rate=1.0, inner=Inner(5), shape=Square())


@pytest.mark.parametrize(
    ("given", "place", "near"),
    [
        ({"rat": 1}, "in top", "'rate'"),
        ({"inner": {"dept": 1}}, "in top.inner", "'depth'"),
        ({"shape": {"name": "square", "sid": 2}}, "in top.shape", "'side'"),
        ({"shape": {"name": "squar"}}, "in top.shape", "'square'"),
        ({"shape": {"name": "square", "radius": 2}}, "in top.shape", "side"),
    ],
)
def test_an_unknown_key_is_named_with_its_place_and_the_nearest(given: Any, place: str, near: str) -> None:
    with pytest.raises(UnknownName) as caught:
        resolve(Outer, given, "top")
    assert place in caught.value.message
    assert near in caught.value.message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rate": 0}, ["top.rate", "came: 0"]),
        ({"rate": "fast"}, ["top.rate", "came: fast"]),
        ({"rate": True}, ["top.rate", "came: True"]),
        ({"rate": float("nan")}, ["top.rate", "finite"]),
        ({"rate": float("inf")}, ["top.rate", "finite"]),
        ({"inner": {"depth": 0}}, ["top.inner.depth", "came: 0"]),
        ({"inner": 3}, ["top.inner", "came: 3"]),
        ([], ["top must be a mapping"]),
    ],
)
def test_a_wrong_value_is_named_with_what_came(given: Any, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(Outer, given, "top")
    for word in words:
        assert word in caught.value.message
