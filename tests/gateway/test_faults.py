"""What happens when others fail. Each test has processes of its own."""

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest

from live_serving import TABLE, TOKEN, Control, LiveGateway, Process, Replica, free_port, route, snapshot
from modelyard.types.route import Snapshot
from waiting import wait_until

pytestmark = pytest.mark.slow  # real processes

PREDICT = {"Authorization": "Bearer key-predict"}


class Place:
    """A folder for one test's processes; all of them are stopped at its end."""

    def __init__(self, packages, folder):
        self.packages, self.folder = packages, folder
        self.started = []

    def replica(self, package, socket, version="1"):
        return self._kept(
            Replica(self.packages / package, "m", self.folder / socket, version=version)
        ).ready()

    def control(self, *routes, port=0):
        return self._kept(Control(snapshot(*routes), port))

    def gateway(self, control_url, limits="{}", home="home", port=None):
        return self._kept(LiveGateway(self.folder / home, control_url, limits, port))

    def _kept(self, started):
        self.started.append(started)
        return started

    def stop(self):
        for started in reversed(self.started):
            started.stop()


@pytest.fixture
def place(packages_folder, tmp_path):
    place = Place(packages_folder, tmp_path)
    yield place
    place.stop()


def table(*versions, **fields):
    return route("m", "tabular-classification", *versions, **fields)


def infer(gateway, body=TABLE, path="/v2/models/m/infer", **headers):
    return httpx.post(gateway.url + path, json=body, headers=PREDICT | headers, timeout=20)


def work(amount, index=0.0):
    return {"table": {"work": [amount], "index": [index]}}


def test_a_replica_killed_in_a_batch_is_covered_by_another(place):
    one, two = place.replica("workbench", "1"), place.replica("workbench", "2")
    gateway = place.gateway(place.control(table(one.serves("1", 1.0, two))).url).ready().serving("m")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(infer, gateway, work(20000), "/models/m") for _ in range(8)]
        wait_until(lambda: under_way(gateway) == 8, 10)
        one.child.kill()
        answers = [future.result() for future in asked]
    assert [a.status_code for a in answers] == [200] * 8


def under_way(gateway):
    text = httpx.get(gateway.url + "/metrics", headers={"Authorization": "Bearer key-metrics"}).text
    return next(
        float(x.split()[1]) for x in text.splitlines() if x.startswith("modelyard_requests_in_flight ")
    )


def test_the_only_replica_killed_is_answered_at_once_and_found_again(place):
    replica = place.replica("workbench", "1")
    gateway = place.gateway(place.control(table(replica.serves())).url).ready().serving("m")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(infer, gateway, work(60000), "/models/m")
        wait_until(lambda: under_way(gateway) == 1, 10)
        replica.child.kill()
        answer = asked.result()
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert infer(gateway, work(0), "/models/m").status_code == 503
    place.replica("workbench", "1")
    wait_until(lambda: infer(gateway, work(0), "/models/m").status_code == 200, 5)


def test_a_stopped_replica_is_left_aside_and_its_requests_end_by_the_deadline(place):
    one, two = place.replica("table", "1"), place.replica("table", "2")
    gateway = (
        place.gateway(place.control(table(one.serves("1", 1.0, two), timeout=1.0)).url).ready().serving("m")
    )
    one.signal(signal.SIGSTOP)
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: infer(gateway), range(4)))
    assert time.monotonic() - started < 2.5
    assert {a.status_code for a in answers} <= {200, 504}
    assert [infer(gateway).status_code for _ in range(20)] == [200] * 20
    one.signal(signal.SIGCONT)
    two.child.kill()
    wait_until(lambda: infer(gateway).status_code == 200, 5)


def test_a_stopped_only_replica_gives_504(place):
    replica = place.replica("table", "1")
    gateway = place.gateway(place.control(table(replica.serves(), timeout=0.5)).url).ready().serving("m")
    replica.signal(signal.SIGSTOP)
    answer = infer(gateway)
    assert answer.status_code == 504
    assert answer.elapsed.total_seconds() < 1.5
    replica.signal(signal.SIGCONT)
    wait_until(lambda: infer(gateway).status_code == 200, 5)


def test_serving_goes_on_without_control_and_after_a_restart_without_it(place):
    replica = place.replica("table", "1")
    control = place.control(table(replica.serves()))
    gateway = place.gateway(control.url).ready().serving("m")
    control.stop()
    assert infer(gateway).status_code == 200
    gateway.child.kill()
    gateway.wait()
    kept = place.folder / "home" / "state" / "snapshot.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    again = place.gateway(control.url).ready().serving("m")
    assert infer(again).status_code == 200
    back = place.control(port=control.port)
    wait_until(lambda: infer(again).status_code == 404, 10)
    back.publish(snapshot(table(replica.serves())))
    wait_until(lambda: infer(again).status_code == 200, 5)


def test_without_a_snapshot_it_is_not_ready(place):
    gateway = place.gateway(f"http://127.0.0.1:{free_port()}")
    wait_until(lambda: gateway.status("/v2/health/live") == 200, 20)
    assert gateway.status("/v2/health/ready") == 503
    assert infer(gateway).status_code == 503


def test_an_unreadable_snapshot_on_disk_is_as_none(place):
    state = place.folder / "home" / "state"
    state.mkdir(parents=True)
    (state / "snapshot.json").write_bytes(b'{"secret": 5')
    replica = place.replica("table", "1")
    gateway = place.gateway(place.control(table(replica.serves())).url).ready().serving("m")
    assert infer(gateway).status_code == 200
    assert msgspec.json.decode((state / "snapshot.json").read_bytes(), type=Snapshot).routes[0].name == "m"


def test_a_new_version_takes_over_without_one_failure(place):
    old, new = place.replica("table", "old"), place.replica("table", "new", "2")
    control = place.control(table(old.serves("1")))
    gateway = place.gateway(control.url).ready().serving("m")
    statuses, versions, stop = [], set(), threading.Event()

    def ask():
        with httpx.Client(headers=PREDICT) as client:
            while not stop.is_set():
                answer = client.post(gateway.url + "/v2/models/m/infer", json=TABLE)
                statuses.append(answer.status_code)
                versions.add(answer.json().get("model_version"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for routes in (
            [old.serves("1", 0.5), new.serves("2", 0.5)],
            [old.serves("1", 0.0), new.serves("2", 1.0)],
            [new.serves("2", 1.0)],
        ):
            control.publish(snapshot(table(*routes)))
            done = len(statuses)
            wait_until(lambda done=done: len(statuses) > done + 150, 20)
        old.signal(signal.SIGTERM)
        old.wait()
        done = len(statuses)
        wait_until(lambda: len(statuses) > done + 50, 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert versions == {"1", "2"}


def test_weights_are_kept_and_a_version_that_is_not_there_gets_nothing(place):
    one, two = place.replica("table", "1"), place.replica("table", "2", "2")
    control = place.control(table(one.serves("1", 0.8), two.serves("2", 0.2)))
    gateway = place.gateway(control.url).ready().serving("m")
    wait_until(lambda: gateway.status("/v2/models/m/versions/2/ready") == 200, 5)
    with httpx.Client(headers=PREDICT) as client:
        asked = [client.post(gateway.url + "/v2/models/m/infer", json=TABLE).json() for _ in range(400)]
    share = sum(a["model_version"] == "2" for a in asked) / 400
    assert 0.1 < share < 0.3
    two.child.kill()
    wait_until(lambda: gateway.status("/v2/models/m/versions/2/ready") == 503, 5)
    assert {infer(gateway).json()["model_version"] for _ in range(20)} == {"1"}
    assert infer(gateway, path="/v2/models/m/versions/2/infer").status_code == 503


def test_a_replica_of_another_digest_is_not_used(place):
    replica = place.replica("table", "1")
    other = replica.serves()
    gateway = place.gateway(place.control(table(msgspec.structs.replace(other, digest="0" * 64))).url).ready()
    wait_until(lambda: infer(gateway).status_code == 503, 5)
    assert infer(gateway).status_code == 503


def test_sigterm_finishes_what_is_under_way(place):
    replica = place.replica("workbench", "1")
    gateway = place.gateway(place.control(table(replica.serves())).url).ready().serving("m")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(infer, gateway, work(20000), "/models/m")
        wait_until(lambda: under_way(gateway) == 1, 10)
        gateway.signal(signal.SIGTERM)
        answer = asked.result()
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    assert gateway.wait() == 0
    assert replica.child.poll() is None


def test_a_taken_port_is_named_with_its_option(place):
    first = place.gateway("http://127.0.0.1:9", port=free_port())
    wait_until(lambda: first.status("/v2/health/live") == 200, 20)
    second = place.gateway("http://127.0.0.1:9", home="second", port=first.port)
    assert second.wait() == 78
    fault = json.loads((place.folder / "second" / "gateway.fault").read_bytes())
    assert fault["code"] == "port_taken"
    assert "--port" in fault["message"]
    assert str(first.port) in fault["message"]
    assert "Traceback" not in second.output


def test_without_its_token_it_does_not_start(place, tmp_path):
    argv = [
        "modelyard.gateway",
        "--control-url",
        "http://127.0.0.1:9",
        "--home",
        str(tmp_path),
        "--port",
        "1",
    ]
    process = Process(argv, tmp_path / "log", {"YARD_GATEWAY_TOKEN": ""})
    assert process.wait() == 78
    assert "YARD_GATEWAY_TOKEN" in process.output


def test_a_wrong_token_gets_no_snapshot(place):
    replica = place.replica("table", "1")
    control = place.control(table(replica.serves()))
    argv = ["modelyard.gateway", "--port", str(port := free_port()), "--control-url", control.url]
    process = place._kept(
        Process(
            [*argv, "--home", str(place.folder)], place.folder / "log", {"YARD_GATEWAY_TOKEN": TOKEN + "x"}
        )
    )
    wait_until(lambda: status(port, "/v2/health/live") == 200, 20)
    assert status(port, "/v2/health/ready") == 503
    assert process.child.poll() is None


def status(port, path):
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}").status_code
    except httpx.TransportError:
        return 0
