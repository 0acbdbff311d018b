"""Whose replicas end: the choice, by its properties."""

from hypothesis import given
from hypothesis import strategies as st

from modelyard.control.services.eviction import Resident, choose


@st.composite
def residents(draw: st.DrawFn) -> list[Resident]:
    count = draw(st.integers(0, 8))
    return [
        Resident(
            id=f"d{i}",
            size=draw(st.integers(0, 100)),
            last=draw(st.floats(0, 10)),
            evictable=draw(st.booleans()),
        )
        for i in range(count)
    ]


@given(st.integers(-10, 500), residents())
def test_the_least_recently_used_and_no_more_than_it_takes(wanted: int, there: list[Resident]) -> None:
    chosen = choose(wanted, there)
    known = {r.id: r for r in there}
    may = [r for r in there if r.evictable]
    if chosen is None:
        assert sum(r.size for r in may) < wanted
        return
    ended = [known[i] for i in chosen]
    assert all(r.evictable for r in ended)  # never one that is busy or pinned
    assert len(set(chosen)) == len(chosen)
    assert sum(r.size for r in ended) >= wanted
    assert sum(r.size for r in ended[:-1]) < wanted or not ended  # without the last it would not fit
    stays = [r for r in may if r.id not in chosen]
    assert all(e.last <= s.last for e in ended for s in stays)


def test_nothing_is_ended_where_there_is_room() -> None:
    there = [Resident(id="a", size=5, last=0.0, evictable=True)]
    assert choose(0, there) == []
    assert choose(-3, there) == []
    assert choose(1, there) == ["a"]
    assert choose(6, there) is None
