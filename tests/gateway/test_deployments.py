from types import SimpleNamespace

from modelyard.gateway.deployments import BUCKETS, Meter
from modelyard.gateway.fleet import Line
from modelyard.types.replica import Statistics


def said(line, **counted):
    line.link = SimpleNamespace(statistics=Statistics(**counted))


def test_counts_go_on_over_a_replicas_restart():
    line, meter = Line("unix:/x", "d"), Meter()
    said(line, started_ns=1, rows=10, batches=2)
    meter.learn(line)
    said(line, started_ns=1, rows=15, batches=3)
    meter.learn(line)
    meter.learn(line)
    assert (meter.replicas["rows"], meter.replicas["batches"]) == (15, 3)
    said(line)  # a new connection that has not been asked yet
    meter.learn(line)
    said(line, started_ns=2, rows=20, batches=1)
    meter.learn(line)
    assert (meter.replicas["rows"], meter.replicas["batches"]) == (35, 4)


def test_buckets_hold_their_upper_edge():
    meter = Meter()
    for seconds in (0.0, BUCKETS[0], BUCKETS[0] * 1.01, 1e9):
        meter.add(200, seconds)
    assert meter.buckets[:2] == [2, 1]
    assert meter.buckets[-1] == 1
    meter.add(503, 0.1)
    assert (meter.successes, meter.failures, meter.statuses) == (4, 1, {200: 4, 503: 1})
