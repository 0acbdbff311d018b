"""Scripts: what a request for one means, what is kept of it, and running it again."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from control_seed import add_dataset, add_run, add_tenant, publish
from modelyard.control.platform import Platform
from modelyard.control.services import external_runs, run_queue, runs, uploads
from modelyard.control.services.external_runs import NewExternal
from modelyard.errors import Conflict, InvalidInput, NotFound, UnknownName
from modelyard.packages import read
from modelyard.store.tables import Upload
from modelyard.store.work import Run
from modelyard.types.run import RunOutcome
from small_package import write_package


def upload(platform: Platform, name: str, content: bytes = b"print(1)") -> str:
    with uploads.begin(platform, "default", name, len(content)) as writer:
        writer.write(content)
        return uploads.finish(platform, "default", name, writer).id


def submit(platform: Platform, **params: Any) -> runs.RunView:
    return runs.submit(platform, "default", "script", params)


def ended(platform: Platform, run_id: str, state: str = "succeeded") -> None:
    with platform.database.write() as session:
        runs.end(session, session.get_one(Run, run_id), state, 3.0)


def test_a_script_is_queued_with_its_files_and_its_data(platform: Platform, tmp_path: Path) -> None:
    add_dataset(platform, tmp_path)
    files = [upload(platform, "train.py"), upload(platform, "more.py", b"print(2)")]
    run = submit(platform, uploads=files, data=["colours"], params={"C": 2.5})
    assert run.params["script"] == "train.py"
    assert run.params["data"] == {"colours": "colours:1"}
    assert set(run.inputs) == {"train.py", "more.py", "data.colours"}
    items = external_runs.list_artifacts(platform, "default", run.id, "source")
    assert {item.path for item in items} == {"source/train.py", "source/more.py"}


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"uploads": []}, InvalidInput, "a script is needed"),
        ({"uploads": "one"}, InvalidInput, "must be a list of texts"),
        ({"uploads": ["upload_00000000000000000000000000"]}, NotFound, "no such upload"),
        ({"script": "other.py"}, InvalidInput, "not among its files"),
        ({"data": ["nothing"]}, NotFound, "no data set 'nothing'"),
        ({"data": ["colours", "colours:1"]}, InvalidInput, "named twice"),
        ({"cpus": 0}, InvalidInput, "cpus"),
        ({"memory_bytes": 5}, InvalidInput, "memory_bytes"),
        ({"seconds": -1.0}, InvalidInput, "seconds"),
        ({"params": {"a": [1]}}, InvalidInput, "params"),
        ({"netwrok": True}, UnknownName, "did you mean 'network'"),
        ({"requirements": "-e ."}, InvalidInput, "line 1"),
    ],
)
def test_a_script_that_cannot_be_run_is_refused_before_it_is_queued(
    platform: Platform, tmp_path: Path, params: dict[str, Any], error: type[Exception], message: str
) -> None:
    add_dataset(platform, tmp_path)
    whole = {"uploads": [upload(platform, "train.py")], **params}
    with pytest.raises(error, match=message):
        submit(platform, **whole)


def test_a_run_is_run_again_when_its_uploads_are_long_gone(platform: Platform) -> None:
    first = submit(platform, uploads=[upload(platform, "train.py", b"print(2)")])
    with pytest.raises(Conflict, match="has ended"):
        runs.retry(platform, "default", first.id)
    ended(platform, first.id, "failed")
    with platform.database.write() as session:
        session.execute(delete(Upload))
    again = runs.retry(platform, "default", first.id)
    assert (again.state, again.params, again.inputs) == ("queued", first.params, first.inputs)
    assert again.id != first.id
    assert run_queue.claim(platform, again.id) is not None
    assert (platform.home.runs / again.id / "inputs/sources/train.py").read_bytes() == b"print(2)"


def test_what_a_client_drives_and_what_is_anothers_is_not_run_again(platform: Platform) -> None:
    external = external_runs.create(platform, "default", NewExternal(name="mine"), None)
    external_runs.finish(platform, "default", external.id, "succeeded", {})
    with pytest.raises(Conflict, match="has a process"):
        runs.retry(platform, "default", external.id)
    add_tenant(platform, "other")
    with pytest.raises(NotFound):
        runs.retry(platform, "default", add_run(platform, "other", "failed"))


def test_two_scripts_run_at_a_time_beside_other_work(platform: Platform) -> None:
    scripts = [submit(platform, uploads=[upload(platform, "train.py")]).id for _ in range(3)]
    other = add_run(platform, kind="evaluate")
    for run_id in scripts[:2]:
        found = run_queue.next_queued(platform, frozenset())
        assert found is not None
        assert found.id == run_id
        run_queue.claim(platform, run_id)
    found = run_queue.next_queued(platform, frozenset())
    assert found is not None
    assert found.id == other


def test_the_models_that_an_outcome_names_become_versions(platform: Platform, tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_package(tmp_path / "outputs" / "models" / name)
    (tmp_path / "outputs" / "artifacts").mkdir()
    (tmp_path / "outputs" / "artifacts" / "note.txt").write_text("hello")
    outcome = RunOutcome(
        state="succeeded",
        models={"first": "models/first", "second": "models/second"},
        outputs={"artifacts": "artifacts"},
    )
    made = publish(platform, tmp_path / "outputs", outcome, {})
    assert [(m["name"], m["version"]) for m in made["models"]] == [("first", 1), ("second", 1)]
    assert made["artifacts"] == 1
    assert read(tmp_path / "outputs" / "models" / "first").task == "tabular-classification"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"First": "models/first"}, "not a name for a model"),
        ({"../x": "models/first"}, "not a name for a model"),
        ({"first": "models/../models/first"}, "names no folder"),
        ({"first": "/etc"}, "names no folder"),
        ({"first": "models/other"}, "names no folder"),
    ],
)
def test_an_outcome_cannot_name_what_lies_elsewhere(
    platform: Platform, tmp_path: Path, models: dict[str, str], message: str
) -> None:
    write_package(tmp_path / "outputs" / "models" / "first")
    with pytest.raises(InvalidInput, match=message):
        publish(platform, tmp_path / "outputs", RunOutcome(state="succeeded", models=models), {})
