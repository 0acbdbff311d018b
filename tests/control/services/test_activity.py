"""What is idle, by the gateway's reports and a clock."""

from modelyard.control.services.activity import Activities
from modelyard.types.activity import Activity, ActivityReport

A, B = ("default", "a"), ("default", "b")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def report(*told: tuple[str, int, int]) -> ActivityReport:
    activities = [Activity(tenant="default", name=n, running=r, waiting=w) for n, r, w in told]
    return ActivityReport(deployments=tuple(activities))


def heard(clock: Clock) -> Activities:
    activities = Activities(clock)
    activities.keep({A, B})
    activities.hear(report())
    return activities


def test_idle_is_counted_from_the_last_use() -> None:
    clock = Clock()
    activities = heard(clock)
    assert activities.idle(A) is None  # it has only just been seen
    clock.now += 5
    assert (activities.idle(A), activities.idle(B)) == (5, 5)
    activities.hear(report(("a", 0, 0)))  # it had a request that has ended
    clock.now += 2
    assert (activities.idle(A), activities.idle(B)) == (2, 7)
    assert activities.last(A) > activities.last(B)


def test_busy_is_not_idle_however_long() -> None:
    clock = Clock()
    activities = heard(clock)
    for running, waiting in ((1, 0), (0, 1)):
        activities.hear(report(("a", running, waiting)))
        clock.now += 9
        assert activities.idle(A) is None
        assert activities.running(A) == running
    activities.hear(report())
    assert activities.idle(A) == 9


def test_a_gateway_that_says_nothing_leaves_nothing_idle() -> None:
    clock = Clock()
    activities = heard(clock)
    activities.hear(report(("a", 3, 0)))
    clock.now += 10.5
    assert activities.idle(A) is None
    assert activities.idle(B) is None
    assert activities.running(A) == 0
    activities.hear(report())
    assert activities.idle(B) == 10.5


def test_before_the_first_report_nothing_is_idle() -> None:
    clock = Clock()
    activities = Activities(clock)
    activities.keep({A})
    clock.now += 1000
    assert activities.idle(A) is None


def test_what_is_gone_is_forgotten() -> None:
    clock = Clock()
    activities = heard(clock)
    clock.now += 50
    activities.keep({A})
    activities.keep({A, B})
    activities.hear(report())
    clock.now += 2
    assert (activities.idle(A), activities.idle(B)) == (52, 2)
