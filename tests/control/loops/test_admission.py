"""Which replicas may start: room, turns, and who ends for whom."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelyard.control.loops.admission import Admission, Candidate
from modelyard.control.services.activity import Activities
from modelyard.control.services.rollout import WantedReplica
from modelyard.types.activity import Activity, ActivityReport
from modelyard.types.route import Serving


class World:
    """An admission with a clock and a gateway's words of its own."""

    def __init__(self, budget: int | None) -> None:
        self.now = 1000.0
        self.activities = Activities(lambda: self.now)
        self.admission = Admission(budget, self.activities, lambda: self.now)

    def used(self, **ago: float) -> None:
        """Each of these was last used so many seconds ago; `inf` would be busy now."""
        now = self.now
        self.activities.keep({("default", name) for name in ago})
        for name, seconds in ago.items():
            self.now = now - seconds
            self.activities.touch(("default", name))
        self.now = now
        self.activities.hear(ActivityReport(deployments=()))

    def busy(self, *names: str) -> None:
        told = [Activity(tenant="default", name=n, running=1, waiting=0) for n in names]
        self.activities.hear(ActivityReport(deployments=tuple(told)))


def one(name: str, size: int = 0, serving: Serving | None = None, **fields: Any) -> Candidate:
    replica = WantedReplica(
        tenant="default",
        deployment=f"id-{name}",
        version="v",
        name=name,
        number=1,
        digest="d",
        replica=fields.pop("number", 0),
        serving=serving or Serving(sleep=60.0),
    )
    return Candidate(id=f"{name}/{replica.replica}", replica=replica, size=size, **fields)


def test_without_a_budget_all_may_run() -> None:
    decision = World(None).admission.decide([one("a", 1 << 60), one("b")], {})
    assert decision.admitted == {"a/0", "b/0"}


def test_one_that_has_no_room_ends_the_least_recently_used() -> None:
    world = World(100)
    world.used(a=50, b=90, c=5)
    running = [one(n, 30, running=True) for n in "abc"]
    decision = world.admission.decide([*running, one("d", 40)], {})
    assert decision.evicted == {"id-b"}
    assert decision.admitted == {"a/0", "c/0"}
    assert decision.held == {"d/0": "0 MiB of memory are being freed for it"}
    # It starts when the other has ended and not before.
    left = [running[0], running[2]]
    assert world.admission.decide([*left, one("d", 40)], {"b/0": 30}).admitted == {"a/0", "c/0"}
    assert world.admission.decide([*left, one("d", 40)], {}).admitted == {"a/0", "c/0", "d/0"}


def test_what_comes_free_is_kept_for_who_came_first() -> None:
    world = World(100)
    world.used(a=50)
    first = world.admission.decide([one("a", 90, running=True), one("d", 80)], {})
    assert first.evicted == {"id-a"}
    later = world.admission.decide([one("d", 80), one("e", 30)], {"a/0": 90})
    assert later.admitted == set()
    assert set(later.held) == {"d/0", "e/0"}
    assert world.admission.decide([one("e", 30), one("d", 80)], {}).admitted == {"d/0"}


def test_busy_pinned_and_wakeful_ones_stay() -> None:
    world = World(100)
    world.used(busy=90, pinned=90, wakeful=90, loading=90)
    world.busy("busy")
    running = [
        one("busy", 25, running=True),
        one("pinned", 25, Serving(sleep=60.0, pinned=True), running=True),
        one("wakeful", 25, Serving(), running=True),
        one("loading", 25, running=True, loading=True),
    ]
    decision = world.admission.decide([*running, one("d", 25)], {})
    assert decision.evicted == set()
    assert "held by others that are busy, pinned, or never sleep" in decision.held["d/0"]


def test_what_is_larger_than_all_waits_and_lets_others_by() -> None:
    world = World(100 << 20)
    decision = world.admission.decide([one("huge", 200 << 20), one("small", 10 << 20)], {})
    assert decision.admitted == {"small/0"}
    assert decision.held["huge/0"] == "it takes 200 MiB of memory; models have 100 MiB"


def test_a_replica_of_the_same_deployment_is_not_ended_for_another() -> None:
    world = World(100)
    world.used(a=50)
    decision = world.admission.decide([one("a", 60, running=True), one("a", 60, number=1)], {})
    assert decision.admitted == {"a/0"}
    assert decision.evicted == set()


def test_models_that_generate_load_one_after_the_other() -> None:
    world = World(None)
    large = [one(n, generates=True) for n in "ab"]
    small = one("c")
    first = world.admission.decide([*large, small], {})
    assert first.admitted == {"a/0", "c/0"}
    assert first.held == {"b/0": "'a' is being loaded"}
    a = one("a", generates=True, running=True, loading=True)
    world.now += 100
    assert world.admission.decide([a, large[1], small], {}).held == {"b/0": "'a' is being loaded"}
    ready = one("a", generates=True, running=True)
    assert world.admission.decide([ready, large[1]], {}).admitted == {"a/0", "b/0"}


def test_one_that_never_loads_holds_nobody_up_for_ever() -> None:
    world = World(None)
    stuck = one("a", generates=True, running=True, loading=True)
    assert world.admission.decide([stuck, one("b", generates=True)], {}).held
    world.now += 901
    assert world.admission.decide([stuck, one("b", generates=True)], {}).admitted == {"a/0", "b/0"}


def test_one_that_is_woken_before_it_has_ended_goes_on() -> None:
    world = World(100)
    loading = one("b", 30, generates=True, running=True, loading=True)
    back = one("a", 60, generates=True, there=True)
    assert world.admission.decide([loading, back], {"a/0": 60}).admitted == {"a/0", "b/0"}
    other = {"a/0": 60, "z/0": 20}
    assert world.admission.decide([loading, back], other).admitted == {"b/0"}


candidates = st.builds(
    lambda name, size, sleeps, pinned, running, generates, loading, number: one(
        name,
        size,
        Serving(sleep=60.0 if sleeps else None, pinned=pinned),
        running=running,
        generates=generates,
        loading=loading,
        number=number,
    ),
    st.sampled_from("abcdef"),
    st.integers(0, 60),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1),
)


@given(
    st.integers(0, 150),
    st.lists(candidates, unique_by=lambda c: c.id),
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 100)),
    st.sets(st.sampled_from("abcdef")),
)
def test_whatever_there_is(
    budget: int, there: list[Candidate], ago: dict[str, float], busy: set[str]
) -> None:
    world = World(budget)
    world.used(**ago)
    world.busy(*busy)
    before = sum(c.size for c in there if c.running)
    decision = world.admission.decide(there, {})
    admitted = [c for c in there if c.id in decision.admitted]
    assert sum(c.size for c in admitted) <= max(budget, before)
    for c in there:
        if c.replica.deployment in decision.evicted:
            assert not c.replica.serving.pinned or not c.running
            assert c.replica.name not in busy
            assert c.id not in decision.admitted
        elif c.running:
            assert c.id in decision.admitted
        else:
            assert (c.id in decision.admitted) != (c.id in decision.held)
    starts = [c for c in admitted if c.generates and not c.running]
    loads = [c for c in there if c.running and c.generates and c.loading]
    assert len(starts) <= (0 if loads else 1)
