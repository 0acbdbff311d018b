import json
import time
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.dialects import Call, Response
from modelyard.errors import InvalidInput
from modelyard.serving import batcher, frames
from modelyard.serving.batcher import Batcher
from modelyard.serving.frames import Frame, Kind, Parser
from modelyard.serving.peer import Waiting

POISON = -1.0
SERVED = SimpleNamespace(plan=SimpleNamespace(names=("x",), outputs=("y",)))


class Plain:
    """A dialect: JSON rows in, JSON rows out; an error is its code."""

    def parse(self, request, model):
        rows = json.loads(bytes(request.body))
        if not rows:
            raise InvalidInput("no rows")
        return Call({"x": np.array(rows, np.float64)}, len(rows))

    def render(self, call, outputs, model):
        return Response(200, json.dumps(outputs["y"].tolist()).encode())

    def error(self, status, code, message, request_id):
        return Response(status, code.encode())


class Model:
    """Answers twice what it is given; a batch with POISON in it fails as a whole. `sizes` are its batches."""

    def __init__(self, short=False, after=lambda: None):
        self.sizes, self._short, self._after = [], short, after

    def predict(self, arrays):
        x = arrays["x"]
        self.sizes.append(len(x))
        self._after()
        if (x == POISON).any():
            raise InvalidInput("poison")
        return {"y": 2 * x[: len(x) - self._short]}


class Caller:
    """What the batcher knows of a peer: where answers go."""

    def __init__(self):
        self.sent = b""

    def send(self, *parts):
        self.sent += b"".join(parts)

    @property
    def answers(self):
        found = [(f.id, frames.read_answer(f.payload)) for f in Parser(1 << 30).feed(self.sent)]
        return [(number, answer.status, bytes(answer.body)) for number, answer in found]


@pytest.fixture(autouse=True, scope="module")
def _one_dialect():
    with mock.patch.object(batcher, "DIALECTS", (Plain(),)):
        yield


def request(caller, number, rows, *, arrived=None, left=60_000, dialect=0):
    body = json.dumps(rows).encode()
    payload = frames.request_head(number, dialect, 0, left, b"", len(body))[9:] + body
    return Waiting(caller, Frame(Kind.REQUEST, number, payload), arrived or time.monotonic_ns())


kinds = st.sampled_from(["good", "good", "good", "poison", "empty", "late", "unknown"])
asked = st.lists(st.tuples(kinds, st.integers(1, 3), st.integers(1, 7), st.integers(0, 1)), max_size=12)


@given(st.lists(asked, max_size=4), st.integers(1, 6))
def test_every_request_gets_its_own_rows_or_its_own_failure(turns, max_batch):
    model, callers, expected = Model(), (Caller(), Caller()), ([], [])
    served = Batcher(model, SERVED, max_batch)
    number = 0
    for turn in turns:
        waiting = []
        for kind, width, height, who in turn:
            number += 1
            rows = [[100.0 * number + 10 * i + j for j in range(width)] for i in range(height)]
            right = (number, 200, json.dumps((2 * np.array(rows)).tolist()).encode())
            options = {}
            if kind == "poison":
                rows[-1][-1] = POISON
                right = (number, 400, b"invalid_input")
            elif kind == "empty":
                rows, right = [], (number, 400, b"invalid_input")
            elif kind == "late":
                options = {"arrived": time.monotonic_ns() - 10_000_000_000, "left": 1}
                right = (number, 504, b"deadline_exceeded")
            elif kind == "unknown":
                options, right = {"dialect": 9}, (number, 400, b"invalid_input")
            waiting.append(request(callers[who], number, rows, **options))
            expected[who].append(right)
        served.serve(waiting)
    for caller, rights in zip(callers, expected, strict=True):
        assert sorted(caller.answers) == sorted(rights)
    assert all(size <= max_batch for size in model.sizes)
    counted = served.statistics()
    statuses = [status for caller in callers for _, status, _ in caller.answers]
    assert (counted.requests, counted.failures) == (len(statuses), sum(s != 200 for s in statuses))


def test_what_waits_together_runs_together():
    model, caller = Model(), Caller()
    Batcher(model, SERVED, 8).serve([request(caller, n, [[n]]) for n in range(1, 11)])
    assert model.sizes == [8, 2]


def test_one_that_fails_costs_the_others_few_runs():
    model, caller = Model(), Caller()
    rows = [[POISON] if n == 50 else [n] for n in range(1, 65)]
    Batcher(model, SERVED, 64).serve([request(caller, n, [row]) for n, row in enumerate(rows, 1)])
    assert [status for _, status, _ in sorted(caller.answers)] == [200] * 49 + [400] + [200] * 14
    assert len(model.sizes) <= 2 * 6 + 1


def test_no_request_starts_past_its_deadline():
    now = [1_000_000_000]
    caller = Caller()

    def pass_a_second():
        now[0] += 1_000_000_000

    model = Model(after=pass_a_second)
    clock = SimpleNamespace(monotonic_ns=lambda: now[0], time_ns=lambda: now[0])
    with mock.patch.object(batcher, "time", clock):
        waiting = [request(caller, n, [[n]], arrived=now[0], left=500) for n in (1, 2, 3)]
        Batcher(model, SERVED, 1).serve(waiting)
    assert [(number, status) for number, status, _ in caller.answers] == [(1, 200), (2, 504), (3, 504)]
    assert model.sizes == [1]


def test_a_model_that_answers_other_rows_is_not_the_callers_mistake():
    caller = Caller()
    Batcher(Model(short=True), SERVED, 8).serve([request(caller, n, [[n], [n]]) for n in (1, 2)])
    assert caller.answers == [(1, 500, b"internal"), (2, 500, b"internal")]


def test_an_answer_past_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(batcher, "MAX_ANSWER", 10)
    caller = Caller()
    Batcher(Model(), SERVED, 8).serve([request(caller, 1, [[1.0, 2.0, 3.0]]), request(caller, 2, [[4.0]])])
    assert sorted(caller.answers) == [(1, 413, b"too_large"), (2, 200, b"[[8.0]]")]
