from pathlib import Path
from typing import Any

import pytest

from control_seed import DIGEST, add_dataset, add_model, publish
from modelyard import packages, tasks
from modelyard.control.platform import Platform
from modelyard.control.services import datasets, models, runs
from modelyard.control.services.pages import PageRequest
from modelyard.control.services.runs import RunView
from modelyard.datasets import IngestOptions, ingest
from modelyard.errors import Conflict, InvalidInput, NotAllowedFormat, NotFound, UnknownName
from modelyard.runs.reporter import RunReporter
from modelyard.store.work import Run
from modelyard.types.package import Manifest
from modelyard.types.run import RunOutcome

RECIPE = {
    "task": "tabular-classification",
    "name": "colours",
    "data": "colours",
    "net": "logistic_regression",
}


def train(platform: Platform, **keys: Any) -> RunView:
    return runs.submit(platform, "default", "train", RECIPE | keys)


def queued(platform: Platform) -> int:
    page = runs.list_runs(platform, "default", PageRequest(limit=500, cursor=None, secret=b""))
    return [run.state for run in page.items].count("queued")


def test_a_recipe_is_queued_with_the_version_that_it_means_now(platform: Platform, tmp_path: Path) -> None:
    add_dataset(platform, tmp_path)
    add_dataset(platform, tmp_path, content=b"two")
    run = train(platform)
    assert (run.state, run.inputs) == ("queued", {"dataset": "colours:2"})
    assert run.params["dataset"] == "colours:2"
    assert run.params["recipe"]["net"]["name"] == "logistic_regression"
    assert train(platform, data="colours:1").inputs == {"dataset": "colours:1"}


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        ({"data": "nothing"}, NotFound, "nothing"),
        ({"data": "colours:9"}, NotFound, "no such version"),
        ({"trainig": {}}, UnknownName, "did you mean 'training'"),
        ({"net": "cnn"}, InvalidInput, "cnn"),
        ({"net": "logistic_regresion"}, UnknownName, "did you mean 'logistic_regression'"),
        ({"task": "tabular"}, UnknownName, "tabular"),
        ({"name": "../x"}, InvalidInput, "name"),
        ({"target": "shade"}, InvalidInput, "shade"),
        ({"task": "image-classification", "net": "cnn"}, InvalidInput, "image"),
    ],
)
def test_a_recipe_that_cannot_work_queues_nothing(
    platform: Platform, tmp_path: Path, keys: dict[str, Any], error: type[Exception], match: str
) -> None:
    add_dataset(platform, tmp_path)
    with pytest.raises(error, match=match):
        train(platform, **keys)
    assert queued(platform) == 0


def test_a_model_of_another_task_is_a_conflict_before_anything_is_queued(
    platform: Platform, tmp_path: Path
) -> None:
    add_dataset(platform, tmp_path)
    add_model(platform, tmp_path)
    with pytest.raises(Conflict, match="tabular-classification"):
        train(platform, task="tabular-regression", net="linear_regression")
    assert queued(platform) == 0


def test_an_unknown_kind(platform: Platform) -> None:
    with pytest.raises(UnknownName, match="did you mean 'train'"):
        runs.submit(platform, "default", "trian", {})
    with pytest.raises(InvalidInput, match="POST /api/v1/datasets"):
        runs.submit(platform, "default", "prepare", {})


def test_an_evaluation_takes_what_the_model_was_trained_with(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)
    with pytest.raises(NotFound, match="trained with"):
        runs.submit(platform, "default", "evaluate", {"model": "colours"})
    add_dataset(platform, tmp_path, "points")
    run = runs.submit(
        platform, "default", "evaluate", {"model": "colours:1", "data": "points", "split": "train"}
    )
    assert run.inputs == {"dataset": "points:1", "package": "colours:1"}
    assert (run.params["model"], run.params["dataset"], run.params["split"]) == (
        "colours:1",
        "points:1",
        "train",
    )
    assert DIGEST not in str(run.params)


@pytest.mark.parametrize(
    "params",
    [{}, {"model": 3}, {"model": "colours", "splt": "x"}, {"model": "colours@nobody"}, {"model": "a:b:c"}],
)
def test_what_is_no_evaluation(platform: Platform, tmp_path: Path, params: dict[str, Any]) -> None:
    add_model(platform, tmp_path)
    with pytest.raises((InvalidInput, NotFound)):
        runs.submit(platform, "default", "evaluate", params)


def test_data_and_versions_in_use_stay(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)
    add_dataset(platform, tmp_path, "points")
    run = runs.submit(platform, "default", "evaluate", {"model": "colours", "data": "points"})
    with pytest.raises(Conflict, match=run.id):
        datasets.delete_version(platform, "default", "points", "1")
    with pytest.raises(Conflict, match=run.id):
        models.delete_version(platform, "default", "colours", "1")
    runs.cancel(platform, "default", run.id)
    datasets.delete_version(platform, "default", "points", "1")
    models.delete_version(platform, "default", "colours", "1")


TUNE = {"task": "text-generation", "name": "tuned", "data": "books", "base": "gemma"}


def add_base(platform: Platform, work: Path, name: str = "gemma", **said: Any) -> str:
    """A version with a Hugging Face folder in name only: planning reads manifests. Its digest."""
    outputs = work / name
    folder = outputs / "package" / "huggingface"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    signature = tasks.load("text-generation").signature({}, ())
    given = {"task": "text-generation", "formats": {"transformers": "huggingface/config.json"}} | said
    manifest = packages.write(outputs / "package", Manifest(signature=signature, tensors=signature, **given))
    publish(platform, outputs, RunOutcome(state="succeeded", outputs={"package": "package"}), {"model": name})
    return packages.digest(manifest)


def add_books(platform: Platform, work: Path) -> None:
    outputs = work / "books"
    outputs.mkdir()
    (work / "books.jsonl").write_text('{"text": "once upon a time"}\n' * 20)
    ingest([work / "books.jsonl"], IngestOptions(), outputs / "dataset", RunReporter())
    outcome = RunOutcome(state="succeeded", outputs={"dataset": "dataset"})
    publish(platform, outputs, outcome, {"dataset": "books"})


@pytest.mark.parametrize("kind", ["train", "finetune"])
def test_a_recipe_with_a_base_is_a_run_of_its_own_kind(platform: Platform, tmp_path: Path, kind: str) -> None:
    add_books(platform, tmp_path)
    digest = add_base(platform, tmp_path)
    run = runs.submit(platform, "default", kind, {**TUNE, "training": {"rank": 4}})
    assert (run.kind, run.state) == ("finetune", "queued")
    assert run.inputs == {"dataset": "books:1", "base": "gemma:1"}
    assert (run.params["dataset"], run.params["base"]) == ("books:1", "gemma:1")
    assert run.params["recipe"]["training"]["rank"] == 4
    assert run.params["recipe"]["training"]["epochs"] == 3
    with platform.database.read() as session:
        kept = {row.name: row.digest for row in runs.inputs_of(session, session.get_one(Run, run.id))}
    assert kept["base"] == digest


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        ({"base": "nothing"}, NotFound, "nothing"),
        ({"base": "gemma:9"}, NotFound, "no such version"),
        ({"base": "quantized"}, NotAllowedFormat, "make a Hugging Face folder of it"),
        ({"base": "colours"}, InvalidInput, "of another task; came: tabular-classification"),
        ({"data": "nothing"}, NotFound, "nothing"),
        ({"data": "colours"}, InvalidInput, "no column to learn to generate from"),
        ({"name": "colours"}, Conflict, "text-generation"),
        ({"training": {"rank": 0}}, InvalidInput, "rank"),
        ({"net": "cnn"}, UnknownName, "net"),
        ({"base": None}, InvalidInput, "base is missing"),
    ],
)
def test_a_fine_tuning_that_cannot_work_queues_nothing(
    platform: Platform, tmp_path: Path, keys: dict[str, Any], error: type[Exception], match: str
) -> None:
    add_books(platform, tmp_path)
    add_dataset(platform, tmp_path)
    add_model(platform, tmp_path)
    add_base(platform, tmp_path)
    add_base(platform, tmp_path, "quantized", formats={"gguf": "huggingface/config.json"})
    with pytest.raises(error, match=match):
        runs.submit(platform, "default", "train", TUNE | keys)
    assert queued(platform) == 0
