"""The ledger: what is counted, what budgets allow, and what control is told of it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelyard.errors import BudgetSpent
from modelyard.gateway import tally
from modelyard.gateway.usage import Ledger
from modelyard.types.generation import Usage
from modelyard.types.route import KeyGrant
from modelyard.types.usage import FOREVER, UsageHeard, UsageReport, UsageRow

DAY = 86_400.0


def grant(budget=None, used=0, day=0, name="key"):
    return KeyGrant(id=name, tenant="t", scopes=("predict",), budget=budget, used=used, day=day)


class Clock:
    def __init__(self, day=100):
        self.seconds = day * DAY + 1

    def __call__(self):
        return self.seconds

    @property
    def day(self):
        return int(self.seconds // DAY)


class Keeper:
    """What control keeps, by the rules of modelyard.store.usage, in a dict."""

    def __init__(self, clock):
        self.clock, self.rows, self.settled = clock, {}, {}

    def take(self, report: UsageReport) -> UsageHeard:
        for row in report.rows:
            key = report.source, row.key, row.model, row.day
            assert row.day >= self.settled.get(report.source, 0), "said again after a promise"
            self.rows[key] = max(self.rows.get(key, 0), row.tokens)
        self.settled[report.source] = max(self.settled.get(report.source, 0), report.settled)
        names = {row.key for row in report.rows}
        return UsageHeard(day=self.clock.day, used={name: self.used(name, self.clock.day) for name in names})

    def used(self, name, day):
        return sum(n for (_, k, _, d), n in self.rows.items() if (k, d) == (name, day))


def tell_all(ledger, keeper):
    while (report := ledger.report()) is not None:
        ledger.reported(report, keeper.take(report))
    for promise in ledger.promises():
        keeper.take(promise)
        ledger.promised(promise)


def spend(ledger, who, tokens, reserved=None, model="m"):
    ledger.reserve(who, tokens if reserved is None else reserved).settle(model, Usage(prompt=tokens))


def test_rows_are_totals_by_key_model_and_day():
    clock = Clock()
    ledger = Ledger(clock)
    ledger.add(grant(), "m", Usage(prompt=5, cached=2, completion=3))
    ledger.add(grant(), "m", Usage(prompt=1))
    ledger.add(grant(), "n", Usage(completion=4), requests=2)
    clock.seconds += DAY
    ledger.add(grant(name="b"), "m", Usage())
    first = UsageRow(tenant="t", key="key", model="m", day=100, requests=2, prompt=6, cached=2, completion=3)
    assert ledger.report().rows == (
        UsageRow(tenant="t", key="b", model="m", day=101, requests=1),
        first,
        UsageRow(tenant="t", key="key", model="n", day=100, requests=2, completion=4),
    )
    assert first.tokens == 9


def test_what_was_heard_is_not_said_again_unless_it_grew_meanwhile():
    ledger, keeper = Ledger(Clock()), Keeper(Clock())
    spend(ledger, grant(), 5)
    report = ledger.report()
    spend(ledger, grant(), 2)
    ledger.reported(report, keeper.take(report))
    assert [row.prompt for row in ledger.report().rows] == [7]
    tell_all(ledger, keeper)
    assert ledger.report() is None


def test_long_reports_are_cut(monkeypatch):
    monkeypatch.setattr(tally, "MOST_ROWS", 2)
    clock = Clock()
    ledger, keeper = Ledger(clock), Keeper(clock)
    for n in range(5):
        spend(ledger, grant(name=f"k{n}"), n + 1)
    assert len(ledger.report().rows) == 2
    tell_all(ledger, keeper)
    assert [keeper.used(f"k{n}", 100) for n in range(5)] == [1, 2, 3, 4, 5]


def test_a_request_that_does_not_fit_is_refused_before_anything_runs():
    ledger, who = Ledger(Clock()), grant(100)
    held = ledger.reserve(who, 60)
    with pytest.raises(BudgetSpent, match=r"up to 41 tokens, with 40 left.*100 a day") as refused:
        ledger.reserve(who, 41)
    assert refused.value.retry_after == 1  # what is held may come free
    ledger.reserve(who, 40).settle("m", Usage())
    held.settle("m", Usage(prompt=10))
    assert (ledger.used(who), ledger.reserved(who)) == (10, 0)
    ledger.reserve(who, 90)


def test_nothing_is_refused_without_a_budget_and_all_is_when_it_is_spent():
    ledger = Ledger(Clock())
    spend(ledger, grant(), 10**12)
    who = grant(10, name="b")
    spend(ledger, who, 12, reserved=3)
    with pytest.raises(BudgetSpent, match="with 0 left") as refused:
        ledger.reserve(who, 0)
    assert refused.value.retry_after == DAY  # it is a second past midnight


def test_a_day_is_over_at_midnight_whatever_the_last_snapshot_said():
    clock = Clock()
    ledger, who = Ledger(clock), grant(100, used=100, day=100)
    with pytest.raises(BudgetSpent):
        ledger.reserve(who, 1)
    clock.seconds += DAY
    assert ledger.used(who) == 0
    spend(ledger, who, 100)
    with pytest.raises(BudgetSpent):
        ledger.reserve(who, 1)


def test_what_others_told_counts_and_own_use_counts_once():
    clock = Clock()
    ledger, keeper = Ledger(clock), Keeper(clock)
    row = UsageRow(tenant="t", key="key", model="m", day=100, prompt=30)
    keeper.take(UsageReport(source="other", rows=(row,)))
    who = grant(100)
    spend(ledger, who, 20)
    assert ledger.used(who) == 20  # it has not heard of the other yet
    tell_all(ledger, keeper)
    assert ledger.used(who) == 50
    assert ledger.used(grant(100, used=50, day=100)) == 50  # as the next snapshot says
    spend(ledger, who, 5)
    assert ledger.used(grant(100, used=50, day=100)) == 55


def test_the_next_process_goes_on_from_what_was_kept():
    clock = Clock()
    first, keeper = Ledger(clock), Keeper(clock)
    who = grant(100)
    spend(first, who, 20)
    tell_all(first, keeper)
    spend(first, who, 15)  # control is away from here on
    second = Ledger(clock)
    second.resume(first.kept())
    assert second.used(who) == 35
    with pytest.raises(BudgetSpent):
        second.reserve(who, 66)
    spend(second, who, 10)
    third = Ledger(clock)
    third.resume(second.kept())
    assert third.used(who) == 45
    tell_all(third, keeper)
    assert keeper.used("key", 100) == 45
    assert list(keeper.settled.values()) == [FOREVER, FOREVER]
    assert third.used(grant(100, used=45, day=100)) == 45
    assert [s.source for s in third.kept().sources] == [third._tally.source]


def test_an_own_day_is_settled_when_it_is_over():
    clock = Clock()
    ledger, keeper = Ledger(clock), Keeper(clock)
    spend(ledger, grant(), 5)
    tell_all(ledger, keeper)
    assert list(keeper.settled.values()) == [100]
    clock.seconds += DAY
    spend(ledger, grant(), 5)
    assert ledger.promises()  # of yesterday all was said
    tell_all(ledger, keeper)
    assert list(keeper.settled.values()) == [101]


def test_a_clock_that_goes_back_breaks_no_promise():
    clock = Clock()
    ledger, keeper = Ledger(clock), Keeper(clock)
    who = grant(100)
    for step in (DAY, DAY, -2 * DAY, DAY, DAY):
        spend(ledger, who, 7)
        tell_all(ledger, keeper)
        clock.seconds += step
    assert [keeper.used("key", day) for day in (100, 101, 102)] == [14, 14, 7]


class Budgeted(RuleBasedStateMachine):
    """Requests, reports, losses, restarts and midnights in any order. Another gateway uses the same key."""

    BUDGET = 100

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.keeper = Keeper(self.clock)
        self.ledger, self.other = Ledger(self.clock), Ledger(self.clock)
        self.held = []  # reservation, tokens
        self.used = {}  # day -> tokens, as they truly were
        self.overrun = {}  # day -> by how much requests overran, and what was not yet heard of the other's
        self.grant = grant(self.BUDGET)
        self.sent = []

    @rule(tokens=st.integers(0, 70))
    def ask(self, tokens):
        left = self.BUDGET - self.ledger.used(self.grant) - sum(n for _, n in self.held)
        if left <= 0 or tokens > left:
            with pytest.raises(BudgetSpent):
                self.ledger.reserve(self.grant, tokens)
        else:
            self.held.append((self.ledger.reserve(self.grant, tokens), tokens))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), part=st.sampled_from([0, 0.5, 1, 1.5]))
    def end(self, data, part):
        reservation, reserved = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        usage = int(reserved * part)
        reservation.settle("m", Usage(prompt=usage // 2, completion=usage - usage // 2))
        day = self.clock.day
        self.used[day] = self.used.get(day, 0) + usage
        self.overrun[day] = self.overrun.get(day, 0) + max(0, usage - reserved)

    @rule()
    def tell(self):
        tell_all(self.ledger, self.keeper)

    @rule()
    def tell_and_lose_the_answer(self):
        if (report := self.ledger.report()) is not None:
            self.keeper.take(report)
            self.sent.append(report)

    @rule()
    def tell_again(self):
        """An old report that comes late, of a day that is not settled yet."""
        before = dict(self.keeper.rows)
        for report in self.sent:
            if all(row.day >= self.keeper.settled.get(report.source, 0) for row in report.rows):
                self.keeper.take(report)
        assert self.keeper.rows == before

    @rule()
    def hear_a_snapshot(self):
        day = self.clock.day
        self.grant = grant(self.BUDGET, used=self.keeper.used("key", day), day=day)

    @rule(tokens=st.integers(1, 20))
    def other_uses(self, tokens):
        """Another gateway; what this one has not heard of it may be spent twice."""
        self.other.add(self.grant, "m", Usage(prompt=tokens))
        tell_all(self.other, self.keeper)
        day = self.clock.day
        self.used[day] = self.used.get(day, 0) + tokens
        self.overrun[day] = self.overrun.get(day, 0) + tokens

    @rule()
    def restart(self):
        for reservation, _ in self.held:
            reservation.settle("m", Usage())
        self.held = []
        fresh = Ledger(self.clock)
        fresh.resume(self.ledger.kept())
        self.ledger = fresh

    @rule()
    def midnight(self):
        """Requests that go on count on the day on which they end."""
        self.clock.seconds += DAY
        self.overrun[self.clock.day] = sum(n for _, n in self.held)

    @invariant()
    def what_is_held_is_what_is_under_way(self):
        assert self.ledger.reserved(self.grant) == sum(n for _, n in self.held)

    @invariant()
    def the_budget_holds(self):
        day = self.clock.day
        whole = self.used.get(day, 0) + self.ledger.reserved(self.grant)
        assert whole <= self.BUDGET + self.overrun.get(day, 0)

    @invariant()
    def nothing_is_thought_used_that_was_not(self):
        assert self.ledger.used(self.grant) <= self.used.get(self.clock.day, 0)

    def teardown(self):
        tell_all(self.ledger, self.keeper)
        told = {day: self.keeper.used("key", day) for day in self.used}
        assert told == self.used
        day = self.clock.day
        if day in self.used and self.ledger._own:
            now = grant(self.BUDGET, used=told[day], day=day)
            assert self.ledger.used(now) == told[day]


TestBudgeted = Budgeted.TestCase
TestBudgeted.settings = settings(max_examples=150, stateful_step_count=25)
