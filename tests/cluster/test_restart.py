"""The restart policy against its rules, over any lives."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from modelyard.cluster.restart import FIRST_PAUSE, HEALTHY, LONGEST_PAUSE, Backoff


class Policy(RuleBasedStateMachine):
    """Short lives double the pause up to the longest; one healthy life forgives them all."""

    def __init__(self):
        super().__init__()
        self.backoff = Backoff()
        self.short = 0
        self.last = 0.0

    @rule(lived=st.floats(0, HEALTHY, exclude_max=True))
    def short_life(self, lived):
        self.last = self.backoff.pause(lived)
        assert self.last == min(FIRST_PAUSE * 2**self.short, LONGEST_PAUSE)
        self.short += 1

    @rule(lived=st.floats(HEALTHY, 1e9))
    def healthy_life(self, lived):
        self.last = self.backoff.pause(lived)
        assert self.last == 0
        self.short = 0

    @invariant()
    def bounded(self):
        assert 0 <= self.last <= LONGEST_PAUSE


TestPolicy = Policy.TestCase
TestPolicy.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_a_crash_loop_reaches_the_longest_pause_and_stays():
    backoff = Backoff()
    assert [backoff.pause(0) for _ in range(12)][:3] == [0.1, 0.2, 0.4]
    assert backoff.pause(0) == LONGEST_PAUSE
