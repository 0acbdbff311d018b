import pytest

from modelyard.training.time_left import TimeLeft, said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, ""), (40, "40 s left"), (100, "2 min left"), (3600, "60 min left"), (3900 * 2, "2 h 10 min left")],
)
def test_said(seconds: float, text: str) -> None:
    assert said(seconds) == text


def test_it_goes_by_the_speed_of_this_attempt_alone() -> None:
    now = 100.0
    left = TimeLeft(8, clock=lambda: now)
    assert left.said(8, 10) == ""
    now = 120.0
    assert left.said(8.5, 10) == "60 s left"
    assert left.said(10, 10) == ""
