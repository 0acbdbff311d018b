"""Versions of what is refused: nothing here needs a run of ours. What is imported is in test_autolog.py."""

import pytest
import yaml

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own

PICKLED = {
    "MLmodel": yaml.safe_dump(
        {"flavors": {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}}}
    ),
    "model.pkl": "no pickle that anybody opens",
}


@pytest.fixture
def pickled(server, tmp_path):
    """A run with a logged folder, and what its version becomes."""
    run = server.run()
    for name, text in PICKLED.items():
        (tmp_path / name).write_text(text)
    server.client.log_artifacts(run.info.run_id, str(tmp_path), "model")
    return run


def register(server, name, source, **fields):
    return server.client.create_model_version(name, source, **fields)


def test_a_pickle_is_kept_and_refused(server, pickled):
    server.client.create_registered_model("Pickled One")
    source = f"runs:/{pickled.info.run_id}/model"
    version = register(
        server, "Pickled One", source, run_id=pickled.info.run_id, tags={"a": "b"}, description="d"
    )
    assert (version.version, version.status, version.current_stage) == ("1", "READY", "None")
    assert "'model.pkl' is a pickle" in version.status_message
    assert "skops" in version.status_message
    name, number = version.tags["modelyard.version"].rsplit(":", 1)
    shown = server.control.get(f"models/{name}/versions/{number}")
    assert (shown["formats"], shown["run"]) == ([], pickled.info.run_id)
    assert set(shown["files"]) == {"MLmodel", "model.pkl", "model.json"}
    refused = server.control.http.post("/api/v1/deployments", json={"name": "no", "model": name})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "format_not_allowed")
    assert refused.json()["error"]["message"] == version.status_message


def test_versions_stages_and_aliases(server, pickled):
    client, source = server.client, f"runs:/{pickled.info.run_id}/model"
    client.create_registered_model("staged")
    for _ in range(3):
        register(server, "staged", source)
    client.transition_model_version_stage("staged", "1", "Production")
    client.transition_model_version_stage("staged", "2", "production", archive_existing_versions=True)
    assert {v.version: v.current_stage for v in client.get_latest_versions("staged")} == {
        "1": "Archived", "2": "Production", "3": "None",
    }  # fmt: skip
    client.set_registered_model_alias("staged", "Champion", "2")
    assert client.get_model_version_by_alias("staged", "Champion").version == "2"
    assert client.get_registered_model("staged").aliases == {"Champion": "2"}
    assert server.control.get("models/staged")["aliases"] == {
        "champion": 1
    }  # the same files are one version here
    client.set_registered_model_alias("staged", "Champion", "3")
    client.delete_registered_model_alias("staged", "Champion")
    assert server.control.get("models/staged")["aliases"] == {}
    message = server.refused("GET", "registered-models/alias", 400, "INVALID_PARAMETER_VALUE",
                             params={"name": "staged", "alias": "Champion"})  # fmt: skip
    assert "not found" in message


def test_searching_and_downloading(server, pickled, tmp_path):
    client, run_id = server.client, pickled.info.run_id
    client.create_registered_model("searched")
    for number in range(3):
        register(server, "searched", f"runs:/{run_id}/model", tags={"n": str(number)})
    found = client.search_model_versions("name = 'searched'", order_by=["version_number DESC"], max_results=2)
    assert [v.version for v in found] == ["3", "2"]
    assert [v.version for v in client.search_model_versions(f"run_id = '{run_id}' AND tags.n = '1'")] == ["2"]
    uri = client.get_model_version_download_uri("searched", "1")
    assert uri == f"mlflow-artifacts:/{pickled.info.experiment_id}/{run_id}/artifacts/model"
    import mlflow

    folder = mlflow.artifacts.download_artifacts(
        artifact_uri=uri, dst_path=str(tmp_path), tracking_uri=server.url
    )
    assert (tmp_path / folder / "MLmodel").read_text() == PICKLED["MLmodel"]


def test_deleting_takes_the_version_here_with_the_last_that_means_it(server, pickled):
    client = server.client
    client.create_registered_model("deleted")
    for _ in range(2):
        register(server, "deleted", f"runs:/{pickled.info.run_id}/model")
    client.delete_model_version("deleted", "1")
    assert server.control.get("models/deleted")["latest"]["version"] == 1
    client.set_registered_model_alias("deleted", "keep", "2")
    client.delete_registered_model("deleted")
    assert server.control.http.get("/api/v1/models/deleted/versions/1").status_code == 404


def test_a_copy_of_a_version(server, pickled):
    server.client.create_registered_model("original")
    register(server, "original", f"runs:/{pickled.info.run_id}/model")
    copied = server.client.copy_model_version("models:/original/1", "the copy")
    assert (copied.version, copied.source) == ("1", "models:/original/1")
    assert copied.status == "READY"


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        ("file:///etc/passwd", 400, "INVALID_PARAMETER_VALUE"),
        ("/etc/passwd", 400, "INVALID_PARAMETER_VALUE"),
        ("s3://bucket/model", 400, "INVALID_PARAMETER_VALUE"),
        ("mlflow-artifacts:/0/../../x", 400, "INVALID_PARAMETER_VALUE"),
        ("", 400, "INVALID_PARAMETER_VALUE"),
        ("x" * 3000, 400, "INVALID_PARAMETER_VALUE"),
        ("runs:/run_" + "0" * 26 + "/model", 404, "RESOURCE_DOES_NOT_EXIST"),
        ("models:/m-0", 404, "RESOURCE_DOES_NOT_EXIST"),
        ("models:/nothing/1", 404, "RESOURCE_DOES_NOT_EXIST"),
        ("models:/nothing@x", 404, "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_sources_that_are_none(server, source, status, code):
    server.ask("POST", "registered-models/create", json={"name": "for sources"})
    body = {"name": "for sources", "source": source}
    server.refused("POST", "model-versions/create", status, code, json=body)


def test_a_run_without_such_files(server):
    server.ask("POST", "registered-models/create", json={"name": "for sources"})
    body = {"name": "for sources", "source": f"runs:/{server.run().info.run_id}/../x"}
    server.refused("POST", "model-versions/create", 404, "RESOURCE_DOES_NOT_EXIST", json=body)


@pytest.mark.parametrize("version", ["0", "99", "x", "-1", "9" * 30, 1.5])
def test_versions_that_are_not_there(server, version):
    server.ask("POST", "registered-models/create", json={"name": "no versions"})
    response = server.ask("GET", "model-versions/get", params={"name": "no versions", "version": version})
    assert response.status_code in (400, 404)
    assert response.json()["error_code"] in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
