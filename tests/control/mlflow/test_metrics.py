import math
import threading

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own


def values(server, run_id, key):
    return [(m.step, m.value) for m in server.client.get_metric_history(run_id, key)]


def test_a_history_keeps_every_value(server):
    run_id = server.run().info.run_id
    for step, value in ((1, 0.5), (2, 0.25), (-1, 0.75), (2, 0.2)):
        server.client.log_metric(run_id, "loss", value, step=step, timestamp=1000 + int(value * 100) + step)
    assert sorted(values(server, run_id, "loss")) == [(-1, 0.75), (1, 0.5), (2, 0.2), (2, 0.25)]
    assert server.client.get_run(run_id).data.metrics["loss"] == 0.25  # the newest of the last step
    assert values(server, run_id, "nothing") == []


@pytest.mark.parametrize(
    ("said", "kept"), [(math.inf, 1.7976931348623157e308), (-math.inf, -1.7976931348623157e308)]
)
def test_infinities_are_the_largest_numbers(server, said, kept):
    run_id = server.run().info.run_id
    server.client.log_metric(run_id, "m", said)
    assert server.client.get_run(run_id).data.metrics == {"m": kept}


def test_nan_stays_nan(server):
    run_id = server.run().info.run_id
    server.client.log_metric(run_id, "m", math.nan)
    assert math.isnan(server.client.get_run(run_id).data.metrics["m"])
    assert math.isnan(values(server, run_id, "m")[0][1])
    assert server.control.get(f"runs/{run_id}/metrics") == {"metrics": {"m": [[0, None]]}}


def test_a_point_that_is_sent_again_changes_nothing(server):
    run_id = server.run().info.run_id
    body = {"run_id": run_id, "metrics": [{"key": "a", "value": 1.0, "timestamp": 5, "step": 1}] * 3}
    for _ in range(2):
        assert server.ask("POST", "runs/log-batch", json=body).json() == {}
    assert values(server, run_id, "a") == [(1, 1.0)]


def test_a_long_history_comes_in_pages(server):
    run_id = server.run().info.run_id
    for start in range(0, 3000, 1000):
        points = [
            {"key": "a", "value": float(i), "timestamp": i, "step": i} for i in range(start, start + 1000)
        ]
        server.ask("POST", "runs/log-batch", json={"run_id": run_id, "metrics": points})
    query = {"run_id": run_id, "metric_key": "a", "max_results": 1100}
    found, token = [], None
    while True:
        page = server.ask(
            "GET", "metrics/get-history", params=query | ({"page_token": token} if token else {})
        ).json()
        found += [m["step"] for m in page["metrics"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert found == list(range(3000))


def test_ten_thousand_metrics_in_batches(server):
    from mlflow.entities import Metric

    run_id = server.run().info.run_id
    batches = [
        [Metric(f"m{i % 10}", i, i, i) for i in range(start, start + 1000)]
        for start in range(0, 10_000, 1000)
    ]
    for batch in batches:
        server.client.log_batch(run_id, metrics=batch)
    assert server.client.get_run(run_id).data.metrics["m9"] == 9999


def test_many_clients_at_once(server):
    run_id = server.run().info.run_id

    def work(number: int) -> None:
        for step in range(20):
            body = {
                "run_id": run_id,
                "metrics": [{"key": f"m{number % 2}", "value": number, "timestamp": step, "step": step}],
            }
            failed.append(server.ask("POST", "runs/log-batch", json=body).status_code != 200)

    failed: list[bool] = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(failed)
    assert len(values(server, run_id, "m0")) == 60
    assert server.client.get_run(run_id).data.metrics == {"m0": 4.0, "m1": 5.0}


@pytest.mark.parametrize(
    "metrics",
    [
        [{"key": "", "value": 1}],
        [{"key": "a" * 251, "value": 1}],
        [{"key": "a\u0000", "value": 1}],
        [{"key": "a", "value": "many"}],
        [{"key": "a", "value": [1]}],
        [{"key": "a", "value": 1, "step": 2**64}],
        [{"key": "a", "value": 1, "step": "1.5"}],
        [{"key": "a", "value": 1, "timestamp": 10**30}],
        [{"key": "a", "value": 1, "model_id": "m-none"}],
        [{"key": "a", "value": 1.0, "timestamp": 1, "step": n} for n in range(1001)],
        "x",
        [1],
        {"key": "a"},
    ],
)
def test_batches_that_are_none(server, metrics):
    body = {"run_id": server.run().info.run_id, "metrics": metrics}
    server.refused("POST", "runs/log-batch", 400, "INVALID_PARAMETER_VALUE", json=body)


def test_numbers_may_come_as_text(server):
    run_id = server.run().info.run_id
    body = {"run_id": run_id, "key": "a", "value": "0.5", "timestamp": "12", "step": "3"}
    assert server.ask("POST", "runs/log-metric", json=body).status_code == 200
    assert values(server, run_id, "a") == [(3, 0.5)]
