import pytest

from modelyard.control.mlflow import run_names

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own


def test_a_run_from_beginning_to_end(server):
    client = server.client
    run = client.create_run(
        server.experiment(), tags={"k": "v"}, run_name="first", start_time=1_700_000_000_123
    )
    run_id = run.info.run_id
    assert (run.info.status, run.info.run_name, run.info.start_time) == (
        "RUNNING",
        "first",
        1_700_000_000_123,
    )
    client.log_param(run_id, "lr", 0.1)
    client.log_param(run_id, "lr", 0.1)
    client.set_tag(run_id, "mlflow.user", "ada")
    client.update_run(run_id, name="renamed")
    client.set_terminated(run_id, "FAILED", end_time=1_700_000_001_000)
    found = client.get_run(run_id)
    assert (found.info.status, found.info.end_time, found.info.user_id) == (
        "FAILED",
        1_700_000_001_000,
        "ada",
    )
    assert found.data.params == {"lr": "0.1"}
    assert found.data.tags == {"k": "v", "mlflow.runName": "renamed", "mlflow.user": "ada"}


def test_it_is_a_run_of_the_platform(server):
    run = server.run()
    server.client.log_param(run.info.run_id, "depth", 3)
    server.client.log_metric(run.info.run_id, "loss", 0.25, step=2)
    server.client.set_terminated(run.info.run_id)
    shown = server.control.get(f"runs/{run.info.run_id}")
    assert (shown["kind"], shown["state"], shown["attempt"]) == ("external", "succeeded", 0)
    assert shown["params"]["params"] == {"depth": "3"}
    assert shown["summary"] == {"loss": 0.25}
    assert server.control.get(f"runs/{run.info.run_id}/metrics") == {"metrics": {"loss": [[2, 0.25]]}}


def test_a_run_may_be_taken_up_again(server):
    run = server.run()
    server.client.set_terminated(run.info.run_id)
    server.client.update_run(run.info.run_id, status="RUNNING")
    assert server.client.get_run(run.info.run_id).info.end_time is None
    assert server.control.get(f"runs/{run.info.run_id}")["ended_at"] is None


def test_cancelling_here_is_killed_there(server):
    run = server.run()
    server.control.post(f"runs/{run.info.run_id}/cancel")
    assert server.client.get_run(run.info.run_id).info.status == "KILLED"


def test_a_parameter_is_said_once(server):
    run_id = server.run().info.run_id
    server.client.log_param(run_id, "p", "1")
    body = {"run_id": run_id, "params": [{"key": "q", "value": "1"}, {"key": "p", "value": "2"}]}
    message = server.refused("POST", "runs/log-batch", 400, "INVALID_PARAMETER_VALUE", json=body)
    assert "'p'" in message
    assert server.client.get_run(run_id).data.params == {"p": "1"}  # nothing of the batch was kept


def test_deleted_runs_take_nothing(server):
    experiment = server.experiment()
    run_id = server.client.create_run(experiment).info.run_id
    server.client.delete_run(run_id)
    assert server.client.search_runs([experiment]) == []
    body = {"run_id": run_id, "key": "a", "value": 1, "timestamp": 1}
    assert "deleted" in server.refused("POST", "runs/log-metric", 400, "INVALID_PARAMETER_VALUE", json=body)
    server.client.restore_run(run_id)
    server.client.log_metric(run_id, "a", 1)


def test_inputs_and_outputs(server):
    run_id = server.run().info.run_id
    dataset = {
        "name": "wine",
        "digest": "abc",
        "source_type": "local",
        "source": "{}",
        "schema": "s",
        "profile": "p",
    }
    tags = [{"key": "mlflow.data.context", "value": "training"}, {"key": "z", "value": "1"}]
    for _ in range(2):
        server.ask(
            "POST",
            "runs/log-inputs",
            json={"run_id": run_id, "datasets": [{"dataset": dataset, "tags": tags}]},
        )
    server.ask("POST", "runs/outputs", json={"run_id": run_id, "models": [{"model_id": "m-1", "step": 3}]})
    found = server.client.get_run(run_id)
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.profile) == ("wine", "p")
    assert {t.key: t.value for t in given.tags} == {"mlflow.data.context": "training", "z": "1"}
    assert [(m.model_id, m.step) for m in found.outputs.model_outputs] == [("m-1", 3)]


@pytest.mark.parametrize(
    "body",
    [
        {"experiment_id": "0", "start_time": -1},
        {"experiment_id": "0", "start_time": 2**70},
        {"experiment_id": "0", "tags": "x"},
        {"experiment_id": "0", "tags": [{"key": ""}]},
        {"experiment_id": "0", "tags": [{"key": "k" * 251, "value": ""}]},
        {"experiment_id": "0", "tags": [{"key": "k", "value": "v" * 8001}]},
        {"experiment_id": "0", "tags": [{"key": "a\u0000", "value": "v"}]},
        {"experiment_id": "0", "run_name": {"a": 1}},
        {"experiment_id": True},
    ],
)
def test_bodies_that_are_no_run(server, body):
    server.refused("POST", "runs/create", 400, "INVALID_PARAMETER_VALUE", json=body)


@pytest.mark.parametrize("run", ["run_" + "0" * 26, "x", "../..", "0" * 32, "run_\0"])
def test_runs_that_are_not_there(server, run):
    server.refused("GET", "runs/get", 404, "RESOURCE_DOES_NOT_EXIST", params={"run_id": run})


def test_status_that_is_none(server):
    body = {"run_id": server.run().info.run_id, "status": "DANCING"}
    server.refused("POST", "runs/update", 400, "INVALID_PARAMETER_VALUE", json=body)


def test_names_of_runs():
    assert len({run_names.make() for _ in range(50)}) > 25
