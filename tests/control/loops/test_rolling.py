"""Replicas whose start has changed are started anew one after the other."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from modelyard.control.loops.rolling import LEAVING, Rolling
from modelyard.types.process import ProcessSpec


def specs(argument: str, *names: str) -> dict[str, ProcessSpec]:
    return {n: ProcessSpec(id=n, argv=("replica", argument), log="l") for n in names}


def arguments(rolled: dict[str, ProcessSpec]) -> dict[str, str]:
    return {name: spec.argv[1] for name, spec in rolled.items()}


class Replicas:
    """A rolling of one version, with a clock of its own."""

    def __init__(self, *names: str) -> None:
        self.names, self.now = names, 0.0
        self.rolling = Rolling(specs("old", *names))

    def roll(self, answering: Iterable[str], argument: str = "new", seconds: float = 0.0) -> dict[str, str]:
        self.now += seconds
        keys = {n: ("deployment", "version") for n in self.names}
        return arguments(
            self.rolling.roll(specs(argument, *self.names), keys, frozenset(answering), self.now)
        )


def test_one_that_is_alone_changes_at_once() -> None:
    assert Replicas("a").roll("a") == {"a": "new"}


def test_one_leaves_before_it_changes_and_the_next_waits_for_it() -> None:
    two = Replicas("a", "b")
    assert two.roll("ab") == {"a": "old", "b": "old"}
    assert set(two.rolling.leaving) == {"a"}
    assert two.roll("ab", seconds=LEAVING + 0.1) == {"a": "new", "b": "old"}
    assert set(two.rolling.leaving) == set()
    assert two.roll("b", seconds=60) == {"a": "new", "b": "old"}  # `a` does not answer yet
    two.roll("ab")
    assert set(two.rolling.leaving) == {"b"}
    assert two.roll("ab", seconds=LEAVING + 0.1) == {"a": "new", "b": "new"}


def test_one_that_does_not_answer_has_nothing_to_lose() -> None:
    two = Replicas("a", "b")
    assert two.roll("a") == {"a": "old", "b": "new"}
    assert two.roll("a", seconds=60) == {"a": "old", "b": "new"}


def test_what_is_taken_back_changes_nothing() -> None:
    two = Replicas("a", "b")
    two.roll("ab")
    assert two.roll("ab", "old", LEAVING + 0.1) == {"a": "old", "b": "old"}


def test_versions_do_not_wait_for_each_other() -> None:
    rolling = Rolling(specs("old", "a", "b"))
    rolled = rolling.roll(specs("new", "a", "b"), {"a": ("d", "1"), "b": ("d", "2")}, {"a", "b"}, 0.0)
    assert arguments(rolled) == {"a": "new", "b": "new"}


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.sampled_from(["x", "y"]), st.floats(0, 5))))
def test_one_always_answers_that_did(turns: list[tuple[set[str], str, float]]) -> None:
    """Of those that answer, never all that are not leaving are started anew at once."""
    three = Replicas("a", "b", "c")
    before = three.roll("abc", "old")
    for answering, argument, seconds in turns:
        gone = set(three.rolling.leaving)
        after = three.roll(answering, argument, seconds)
        changed = {n for n in after if after[n] != before[n]}
        assert len(changed & answering) <= 1
        if changed & answering:
            assert changed & answering <= gone | set(three.rolling.leaving) or len(answering) == 1
        before = after
