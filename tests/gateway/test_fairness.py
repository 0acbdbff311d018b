"""Whose turn it is."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelyard.gateway.fairness import QUANTUM, FairQueue


def test_tenants_take_turns_and_so_do_their_keys():
    queue: FairQueue[str] = FairQueue()
    for number in range(4):
        queue.push("a", "k1", f"a1-{number}")
    queue.push("a", "k2", "a2-0")
    queue.push("b", "k3", "b-0")
    taken = []
    while queue.peek() is not None:
        turn = queue.pop()
        taken.append(turn)
        queue.charge(turn[0], QUANTUM * 2)
        queue.left(turn[0])
    assert taken.index("b-0") == 1
    assert taken.index("a2-0") < taken.index("a1-1") or taken.index("a2-0") == 2
    assert len(taken) == 6


def simulate(streams, slots, rounds, cost):
    """Closed loops of `streams` a tenant on `slots`; the tokens that each got."""
    queue: FairQueue[str] = FairQueue()
    for tenant, count in streams.items():
        for _ in range(count):
            queue.push(tenant, "k", tenant)
    running: list[list] = []
    got: Counter[str] = Counter()
    for _ in range(rounds):
        while len(running) < slots and queue.peek() is not None:
            running.append([queue.pop(), cost])
        for turn in running:
            turn[1] -= 1
            got[turn[0]] += 1
            queue.charge(turn[0], 1)
        for turn in [t for t in running if t[1] == 0]:
            running.remove(turn)
            queue.push(turn[0], "k", turn[0])
            queue.left(turn[0])
    return got


@given(st.integers(1, 20), st.integers(10, 200), st.integers(2, 16), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_who_sends_ten_times_more_gets_no_more(small, large, slots, cost):
    """Where the small tenant wants its half all the time, it has it, to within a round of answers."""
    small = max(small, slots)
    got = simulate({"small": small, "large": max(large, slots)}, slots, 4000, cost)
    share = got["small"] / sum(got.values())
    assert abs(share - 0.5) < 0.05 + 2 * slots * (cost + QUANTUM) / (4000 * slots)


def test_a_small_demand_is_met_whole():
    got = simulate({"small": 1, "large": 160}, 16, 4000, 50)
    assert got["small"] >= 3900  # its one stream runs nearly all the time


def test_debts_do_not_outlast_the_work():
    queue: FairQueue[str] = FairQueue()
    queue.push("a", "k", "x")
    queue.pop()
    queue.charge("a", 1_000_000)
    queue.left("a")
    queue.push("a", "k", "y")
    queue.push("b", "k", "z")
    assert queue.peek() == "y"


class Turns(RuleBasedStateMachine):
    """Nothing is lost, doubled, or served to another; counts are true whatever the order of calls."""

    def __init__(self):
        super().__init__()
        self.queue: FairQueue[tuple[str, str, int]] = FairQueue()
        self.waiting: list[tuple[str, str, int]] = []
        self.running: list[tuple[str, str, int]] = []
        self.number = 0

    @rule(tenant=st.sampled_from("abc"), key=st.sampled_from("12"))
    def push(self, tenant, key):
        self.number += 1
        turn = (tenant, tenant + key, self.number)
        self.queue.push(tenant, tenant + key, turn)
        self.waiting.append(turn)

    @precondition(lambda self: self.waiting)
    @rule()
    def pop(self):
        shown = self.queue.peek()
        turn = self.queue.pop()
        assert turn == shown
        self.waiting.remove(turn)
        oldest = min(n for t, k, n in [*self.waiting, turn] if (t, k) == turn[:2])
        assert turn[2] == oldest
        self.running.append(turn)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tokens=st.floats(-100, 5000))
    def charge(self, data, tokens):
        self.queue.charge(data.draw(st.sampled_from(self.running))[0], tokens)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def leave(self, data):
        turn = data.draw(st.sampled_from(self.running))
        self.running.remove(turn)
        self.queue.left(turn[0])

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data):
        turn = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(turn)
        self.queue.remove(turn[0], turn[1], turn)

    @rule()
    def give_up_what_is_not_there(self):
        self.queue.remove("a", "a1", ("a", "a1", -1))

    @invariant()
    def counts_are_true(self):
        assert len(self.queue) == len(self.waiting)
        for tenant in "abc":
            assert self.queue.waiting(tenant) == sum(1 for t, *_ in self.waiting if t == tenant)
        there = {t for t, *_ in [*self.waiting, *self.running]}
        assert self.queue.tenants == len(there)
        assert (self.queue.peek() is None) == (not self.waiting)


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
