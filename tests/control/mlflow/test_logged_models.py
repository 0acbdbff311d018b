import os

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own


def make(server, run, name, **fields):
    return server.client.create_logged_model(
        run.info.experiment_id, name=name, source_run_id=run.info.run_id, **fields
    )


def test_a_logged_model_from_beginning_to_end(server, tmp_path):
    client, run = server.client, server.run()
    model = make(server, run, "first", tags={"a": "b"}, params={"x": "1"}, model_type="Agent")
    assert (model.status, model.model_type, model.source_run_id) == ("PENDING", "Agent", run.info.run_id)
    client.log_model_params(model.model_id, {f"k{i}": str(i) for i in range(120)})
    client.set_logged_model_tags(model.model_id, {"t": "u"})
    client.delete_logged_model_tag(model.model_id, "a")
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "weights.bin").write_bytes(b"\1\2")
    client.log_model_artifacts(model.model_id, str(tmp_path / "up"))
    assert [f.path for f in client.list_logged_model_artifacts(model.model_id)] == ["weights.bin"]
    client.finalize_logged_model(model.model_id, "READY")
    found = client.get_logged_model(model.model_id)
    assert (found.status, found.tags, len(found.params)) == ("READY", {"t": "u"}, 121)
    import mlflow

    down = mlflow.artifacts.download_artifacts(
        artifact_uri=model.artifact_location, dst_path=str(tmp_path), tracking_uri=server.url
    )
    assert "weights.bin" in os.listdir(down)
    client.delete_logged_model(model.model_id)
    server.refused("GET", f"logged-models/{model.model_id}", 404, "RESOURCE_DOES_NOT_EXIST")


def test_searching_by_metrics_of_the_model(server):
    run = server.run()
    one, two = make(server, run, "one", params={"a": "1"}), make(server, run, "two", tags={"q": "x"})
    for model, values in ((one, (0.9, 0.2)), (two, (0.1, 0.5))):
        for step, value in enumerate(values):
            server.client.log_metric(run.info.run_id, "acc", value, step=step, model_id=model.model_id)
        server.client.finalize_logged_model(model.model_id, "READY")

    def search(text=None, **options):
        found = server.client.search_logged_models([run.info.experiment_id], filter_string=text, **options)
        return [model.name for model in found]

    assert search("metrics.acc > 0.3") == ["two"]  # the newest value counts
    assert search("name = 'one' AND params.a = '1' AND status = 'READY'") == ["one"]
    assert search("tags.q LIKE 'x'") == ["two"]
    assert search(order_by=[{"field_name": "metrics.acc", "ascending": True}]) == ["one", "two"]
    page = server.client.search_logged_models([run.info.experiment_id], max_results=1)
    rest = server.client.search_logged_models([run.info.experiment_id], max_results=1, page_token=page.token)
    assert sorted(m.name for m in (*page, *rest)) == ["one", "two"]
    assert {m.key: m.value for m in server.client.get_logged_model(one.model_id).metrics} == {"acc": 0.2}


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "100%", "'", '"', "x" * 256, "a\0"])
def test_names_that_are_none(server, name):
    body = {"experiment_id": "0", "name": name}
    server.refused("POST", "logged-models", 400, "INVALID_PARAMETER_VALUE", json=body)


def test_statuses_that_are_none(server):
    model = make(server, server.run(), "s")
    body = {"status": "DANCING"}
    server.refused("PATCH", f"logged-models/{model.model_id}", 400, "INVALID_PARAMETER_VALUE", json=body)


@pytest.mark.parametrize("model", ["m-0", "x", "..%2f..", "%00", "a" * 300])
def test_models_that_are_not_there(server, model):
    response = server.ask("GET", f"logged-models/{model}")
    assert response.status_code == 404
    assert response.json()["error_code"] in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND")
