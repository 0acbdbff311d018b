import logging
import threading

import pytest

from modelyard.errors import Cancelled
from modelyard.runs.reporter import RunReporter


class Kept(list):
    put = list.append


@pytest.fixture
def sink():
    return Kept()


def test_metrics_become_an_event_and_a_line(sink, caplog):
    caplog.set_level(logging.INFO, "modelyard")
    RunReporter(sink).metrics(3, {"train/loss": 0.25, "validation/accuracy": 0.9})
    (event,) = sink
    assert (event.step, event.metrics) == (3, {"train/loss": 0.25, "validation/accuracy": 0.9})
    assert event.time > 1_700_000_000
    assert "step 3  train/loss 0.25  validation/accuracy 0.9" in caplog.text


def test_numbers_that_json_lacks_are_left_out_and_named(sink):
    RunReporter(sink).metrics(1, {"train/loss": float("nan"), "learning_rate": 0.1})
    (event,) = sink
    assert event.metrics == {"learning_rate": 0.1}
    assert event.text == "not a finite number: train/loss"


def test_progress_writes_few_lines_and_all_events(sink, caplog):
    caplog.set_level(logging.INFO, "modelyard")
    reporter = RunReporter(sink)
    for done in range(1, 101):
        reporter.progress(done, 100, "reading")
    assert [event.done for event in sink] == list(range(1, 101))
    assert [record.message for record in caplog.records] == ["reading (1 %)", "reading (100 %)"]


def test_check_raises_once_stopped_and_the_first_reason_stays(sink):
    reporter = RunReporter(sink)
    reporter.check()
    assert reporter.stopping is None
    reporter.stop("the run was cancelled")
    reporter.stop("another")
    with pytest.raises(Cancelled, match="the run was cancelled"):
        reporter.check()
    assert reporter.stopping == "the run was cancelled"


def test_waiting_for_a_stop_ends_with_it(sink):
    reporter = RunReporter(sink)
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (reporter.wait_for_stop(), ended.set()))
    thread.start()
    assert not ended.is_set()
    reporter.stop("now")
    assert ended.wait(5)
    thread.join(5)


def test_without_control_it_only_writes_lines(caplog):
    caplog.set_level(logging.INFO, "modelyard")
    reporter = RunReporter()
    reporter.metrics(1, {"loss": 1.0})
    reporter.progress(1, 0)
    assert "step 1  loss 1" in caplog.text
