"""How registry and platform hang together, without a launcher: the import runs are ended by the test."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from control_seed import add_model, add_tenant
from modelyard.control.mlflow import experiments, model_versions, registered_models, runs
from modelyard.control.mlflow.wire import read
from modelyard.control.platform import Platform
from modelyard.control.services import aliases, artifacts, models
from modelyard.control.services.external_runs import get_external
from modelyard.control.services.names import read_selector
from modelyard.control.services.references import get_model, get_model_version
from modelyard.errors import Conflict, NotFound
from modelyard.store.tracking import RegisteredVersion
from modelyard.store.work import Run

TABLE = {(o.method, o.path): o for noun in (experiments, runs, registered_models, model_versions)
         for o in noun.OPERATIONS}  # fmt: skip
SKOPS = {"flavors": {"sklearn": {"pickled_model": "model.skops", "serialization_format": "skops"}}}
SIGNATURE = {
    "inputs": '[{"type": "double", "name": "a", "required": true}, {"type": "string", "name": "b"}]',
    "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]',
}


def ask(platform: Platform, method: str, path: str, tenant: str = "default", **values: Any) -> Any:
    operation = TABLE[method, path]
    return operation.answer(platform, tenant, read(operation.asked, values))


def logged(platform: Platform, mlmodel: dict[str, Any], *names: str) -> str:
    """A run with a folder `model`; its id."""
    run_id: str = ask(platform, "POST", "/runs/create", experiment_id="0")["run"]["info"]["run_id"]
    texts = {"MLmodel": yaml.safe_dump(mlmodel).encode(), **{name: name.encode() for name in names}}
    entries = {f"model/{name}": platform.blobs.put_bytes(text) for name, text in texts.items()}
    with platform.database.write() as session:
        artifacts.publish(session, get_external(session, "default", run_id)[0], entries, 1.0)
    return run_id


def register(platform: Platform, name: str, run_id: str) -> Any:
    source = f"runs:/{run_id}/model"
    return ask(platform, "POST", "/model-versions/create", name=name, source=source)["model_version"]


def version(platform: Platform, name: str, number: str = "1") -> Any:
    return ask(platform, "GET", "/model-versions/get", name=name, version=number)["model_version"]


def end_import(platform: Platform, work: Path, name: str, state: str = "succeeded") -> Run:
    """As the run loop ends it: with a version, or an error."""
    with platform.database.read() as session:
        run_id = session.query(Run).filter(Run.kind == "import", Run.state == "queued").one().id
    made = add_model(platform, work, name)["model"] if state == "succeeded" else None
    with platform.database.write() as session:
        run = session.get_one(Run, run_id)
        run.state, run.ended_at = state, 2.0
        run.outputs = {} if made is None else {"model": made}
        run.error = None if made else {"code": "invalid_input", "message": "it holds a type of its own"}
        return run


@pytest.fixture
def registered(platform: Platform) -> str:
    ask(platform, "POST", "/registered-models/create", name="Two Words")
    return logged(platform, SKOPS | {"signature": SIGNATURE}, "model.skops", "conda.yaml")


def test_an_import_is_queued_over_the_file_alone(platform: Platform, registered: str) -> None:
    made = register(platform, "Two Words", registered)
    assert (made["status"], made["run_id"]) == ("PENDING_REGISTRATION", registered)
    with platform.database.read() as session:
        run = session.query(Run).filter(Run.kind == "import").one()
    assert run.params["sources"] == ["model.skops"]
    assert run.params["format"] == "skops"
    assert run.params["options"]["columns"] == ["a", "b"]
    assert run.params["options"]["task"] == "tabular-classification"
    assert run.publish["model"].startswith("two-words-x")


def test_a_version_follows_its_import(platform: Platform, registered: str, tmp_path: Path) -> None:
    register(platform, "Two Words", registered)
    ask(platform, "POST", "/registered-models/alias", name="Two Words", alias="Champion", version="1")
    with platform.database.read() as session:
        name = session.query(Run).filter(Run.kind == "import").one().publish["model"]
    assert version(platform, "Two Words")["status"] == "PENDING_REGISTRATION"
    end_import(platform, tmp_path, name)
    found = version(platform, "Two Words")
    assert (found["status"], found["aliases"]) == ("READY", ["Champion"])
    assert {t["key"]: t["value"] for t in found["tags"]} == {"modelyard.version": f"{name}:1"}
    assert models.show(platform, "default", name).aliases == {"champion": 1}


def test_an_import_that_fails_says_why(platform: Platform, registered: str, tmp_path: Path) -> None:
    register(platform, "Two Words", registered)
    end_import(platform, tmp_path, "unused", "failed")
    found = version(platform, "Two Words")
    assert (found["status"], found["status_message"]) == ("FAILED_REGISTRATION", "it holds a type of its own")


def test_an_alias_of_a_version_from_elsewhere_stays(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path, "shared")
    aliases.put(platform, "default", "shared", "champion", "1")
    ask(platform, "POST", "/registered-models/create", name="shared")
    register(platform, "shared", logged(platform, SKOPS, "model.skops"))
    end_import(platform, tmp_path, "shared")
    version(platform, "shared")
    ask(platform, "POST", "/registered-models/alias", name="shared", alias="champion", version="1")
    ask(platform, "POST", "/registered-models/alias", name="shared", alias="ours", version="1")
    assert models.show(platform, "default", "shared").aliases == {"champion": 1, "ours": 2}


def test_a_refused_version_does_not_decide_the_task(platform: Platform, tmp_path: Path) -> None:
    ask(platform, "POST", "/registered-models/create", name="later")
    pickled = {"flavors": {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle"}}}
    register(platform, "later", logged(platform, pickled, "model.pkl"))
    assert models.show(platform, "default", "later").task == "tensors"
    register(platform, "later", logged(platform, SKOPS | {"signature": SIGNATURE}, "model.skops"))
    assert models.show(platform, "default", "later").task == "tabular-classification"


def test_what_serves_is_not_deleted(platform: Platform, registered: str, tmp_path: Path) -> None:
    from modelyard.control.services import deployments
    from modelyard.control.services.deployments import NewDeployment

    register(platform, "Two Words", registered)
    with platform.database.read() as session:
        name = session.query(Run).filter(Run.kind == "import").one().publish["model"]
    end_import(platform, tmp_path, name)
    version(platform, "Two Words")
    deployments.create(platform, "default", NewDeployment(name="serving", model=name))
    with pytest.raises(Conflict):
        ask(platform, "DELETE", "/model-versions/delete", name="Two Words", version="1")
    with pytest.raises(Conflict):
        ask(platform, "DELETE", "/registered-models/delete", name="Two Words")
    assert version(platform, "Two Words")["status"] == "READY"
    deployments.delete(platform, "default", "serving")
    ask(platform, "DELETE", "/registered-models/delete", name="Two Words")
    with platform.database.read() as session, pytest.raises(NotFound):
        get_model_version(session, get_model(session, "default", name), read_selector("1"))


def test_another_tenants_things_are_not_there(platform: Platform, registered: str) -> None:
    add_tenant(platform, "other")
    register(platform, "Two Words", registered)
    for method, path, values in (
        ("GET", "/runs/get", {"run_id": registered}),
        ("GET", "/registered-models/get", {"name": "Two Words"}),
        ("GET", "/model-versions/get", {"name": "Two Words", "version": "1"}),
        ("POST", "/runs/set-tag", {"run_id": registered, "key": "a", "value": "b"}),
        ("DELETE", "/registered-models/delete", {"name": "Two Words"}),
    ):
        with pytest.raises(NotFound):
            ask(platform, method, path, "other", **values)
    ask(platform, "POST", "/registered-models/create", "other", name="Two Words")
    with pytest.raises(NotFound):
        ask(
            platform,
            "POST",
            "/model-versions/create",
            "other",
            name="Two Words",
            source=f"runs:/{registered}/model",
        )
    assert ask(platform, "GET", "/model-versions/search", "other") == {}
    with platform.database.read() as session:
        assert session.query(RegisteredVersion).count() == 1
