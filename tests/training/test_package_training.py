"""Recipes and real data through to packages that serving opens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import datasets, engines, nets, packages, training
from modelyard.datasets import Dataset
from modelyard.errors import InvalidInput, ParityMismatch
from modelyard.training import TrainResult, package_training
from modelyard.types.package import Lineage

pytestmark = pytest.mark.slow

Builtin = Callable[[str], Dataset]
FEW = {"epochs": 2, "early_stopping": None}


def _train(dataset: Dataset, folder: Path, reporter: Any, *, attempt: int = 1, **recipe: Any) -> TrainResult:
    parsed = training.parse_recipe({"name": "m", "data": "d", **recipe})
    return training.train(
        parsed, dataset, folder / f"out-{attempt}", folder / "checkpoints", attempt, reporter
    )


def _accuracy_or_rmse(dataset: Dataset, folder: Path) -> float:
    """Of the test split, by the package alone, the way that evaluation and serving go."""
    model = engines.open_model(folder)
    manifest = model.manifest
    columns = dataset.columns("test")
    arrays = model.prepared.decode(
        {name: columns[name] for name in model.task.features(manifest.preprocessing)}
    )
    targets = model.task.targets(columns[manifest.preprocessing["target"]], manifest.labels)
    return model.task.main(model.predict(arrays), targets)


QUICK: dict[str, dict[str, Any]] = {
    "random_forest": {"trees": 20},
    "gradient_boosting": {"trees": 20},
}


@pytest.mark.parametrize("name", nets.taking("tabular-classification"))
def test_every_classifier_of_tables(name: str, builtin: Builtin, tmp_path: Path, recorder: Any) -> None:
    net = {"name": name, **QUICK.get(name, {})}
    result = _train(builtin("wine"), tmp_path, recorder, task="tabular-classification", net=net)
    assert _accuracy_or_rmse(builtin("wine"), tmp_path / "out-1") >= 0.8
    assert result.manifest.labels == builtin("wine").manifest.class_names
    assert result.manifest.formats == {"onnx": "model.onnx"}
    assert result.fit.why
    assert recorder.points


@pytest.mark.parametrize("name", nets.taking("tabular-regression"))
def test_every_regressor_of_tables(name: str, builtin: Builtin, tmp_path: Path, recorder: Any) -> None:
    net = {"name": name, **QUICK.get(name, {})}
    _train(builtin("diabetes"), tmp_path, recorder, task="tabular-regression", net=net)
    assert _accuracy_or_rmse(builtin("diabetes"), tmp_path / "out-1") <= 90


@pytest.mark.parametrize("name", ["mlp", "logistic_regression", "svm", "decision_tree", "random_forest"])
def test_classifiers_of_images(name: str, builtin: Builtin, tmp_path: Path, recorder: Any) -> None:
    given = {"training": FEW} if name == "mlp" else {}
    net = {"name": name, **QUICK.get(name, {})}
    result = _train(builtin("digits"), tmp_path, recorder, task="image-classification", net=net, **given)
    assert result.manifest.tensors.inputs[0].shape == (-1, 8, 8, 1)
    least = {"mlp": 0.5, "decision_tree": 0.75, "svm": 0.98}.get(name, 0.9)
    assert _accuracy_or_rmse(builtin("digits"), tmp_path / "out-1") >= least


def test_a_package_of_a_net_of_ours(builtin: Builtin, tmp_path: Path, recorder: Any) -> None:
    from safetensors.numpy import load_file

    parsed = training.parse_recipe(
        {"task": "image-classification", "name": "m", "data": "digits", "training": FEW}
    )
    lineage = Lineage(run="run_1", dataset="digits:1", dataset_digest=builtin("digits").digest)
    out = tmp_path / "out"
    result = training.train(
        parsed, builtin("digits"), out, tmp_path / "checkpoints", 1, recorder, lineage=lineage
    )
    manifest = packages.read(out)
    assert manifest == result.manifest
    assert manifest.net is not None
    assert manifest.net.name == "cnn"
    assert manifest.net.config["channels"] == [32, 64, 64]
    assert manifest.net.weights == "weights.safetensors"
    assert set(manifest.files) == {"model.onnx", "weights.safetensors", "golden.safetensors"}
    assert manifest.golden is not None
    assert manifest.golden.rows == 64
    assert manifest.lineage.run == "run_1"
    assert manifest.lineage.recipe == parsed.to_dict()
    assert {"python", "torch", "onnx", "numpy", "modelyard"} <= set(manifest.environment)
    assert manifest.preprocessing["target"] == "label"
    assert str(tmp_path) not in json.dumps(manifest.environment)
    assert str(tmp_path).encode() not in (out / "model.onnx").read_bytes()

    # The weights are the module's, so that it can be trained on: rebuilt, it answers as the package does.
    import torch

    from modelyard.nets import Shape

    shape = Shape(
        inputs=manifest.tensors.inputs,
        outputs=manifest.tensors.outputs,
        preprocessing=manifest.preprocessing,
    )
    net = nets.load("cnn")
    module = net.build(net.config(**manifest.net.config), shape).eval()
    state = {name: torch.from_numpy(value) for name, value in load_file(out / "weights.safetensors").items()}
    module.load_state_dict(state)
    golden = load_file(out / "golden.safetensors")
    with torch.inference_mode():
        found = module(torch.from_numpy(golden["inputs.image"])).softmax(dim=1).numpy()
    assert np.allclose(found, golden["outputs.probabilities"], atol=1e-6)


def test_a_killed_run_goes_on_and_makes_the_same_package(
    builtin: Builtin, tmp_path: Path, recorders: Callable[..., Any]
) -> None:
    recipe = {
        "task": "tabular-classification",
        "net": "mlp",
        "training": {"epochs": 5, "early_stopping": None},
    }
    whole = _train(builtin("wine"), tmp_path / "whole", recorders(), **recipe)
    calls = recorders(stop_at=12)
    with pytest.raises(KeyboardInterrupt):
        _train(builtin("wine"), tmp_path / "killed", calls, **recipe)
    assert list((tmp_path / "killed" / "checkpoints").iterdir())
    rest = recorders()
    again = _train(builtin("wine"), tmp_path / "killed", rest, attempt=2, **recipe)
    assert 0 < len(rest.points) < 5
    assert again.history == whole.history
    assert again.manifest.files == whole.manifest.files


def test_another_seed_starts_anew(builtin: Builtin, tmp_path: Path, recorders: Callable[..., Any]) -> None:
    recipe = {"task": "tabular-classification", "net": "mlp"}
    _train(builtin("wine"), tmp_path, recorders(), training={**FEW, "seed": 1}, **recipe)
    other = recorders()
    _train(builtin("wine"), tmp_path, other, attempt=2, training={**FEW, "seed": 2}, **recipe)
    assert len(other.points) == 2


def _csv(folder: Path, text: str, **options: Any) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.csv").write_text(text)

    class Silent:
        def metrics(self, step: int, values: dict[str, float]) -> None: ...
        def progress(self, done: float, total: float, text: str = "") -> None: ...
        def check(self) -> None: ...

    given = datasets.IngestOptions(label="y", **options)
    datasets.ingest([folder / "data.csv"], given, folder / "version", Silent())
    return datasets.open_dataset(folder / "version")


@pytest.mark.parametrize("name", ["random_forest", "logistic_regression", "svm", "mlp"])
def test_a_class_that_training_has_not_seen_is_answered_with_little(
    name: str, tmp_path: Path, recorder: Any
) -> None:
    random = np.random.default_rng(0)
    lines = ["x,z,split,y"]
    for row in range(90):
        label = "ab"[row % 2]
        lines.append(f"{random.normal() + (row % 2) * 3:.4f},{random.normal():.4f},train,{label}")
    lines += ["0.1,0.2,test,a", "0.2,0.1,test,c", "0.3,0.3,validation,a", "3.3,0.3,validation,b"]
    dataset = _csv(tmp_path, "\n".join(lines), split_column="split")
    given = {"training": FEW} if name == "mlp" else {}
    result = _train(dataset, tmp_path, recorder, task="tabular-classification", net=name, **given)
    assert result.manifest.labels == ("a", "b", "c")
    model = engines.open_model(tmp_path / "out-1")
    found = model.predict(model.prepared.decode({"x": [0.0, 3.0], "z": [0.0, 0.0]}))["probabilities"]
    assert found.shape == (2, 3)
    assert found.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    if name != "mlp":
        assert found[:, 2].tolist() == [0, 0]


def test_one_class_in_training_is_refused(tmp_path: Path, recorder: Any) -> None:
    lines = ["x,split,y", *(f"{n}.5,train,a" for n in range(20)), "1.5,test,b", "2.5,validation,a"]
    dataset = _csv(tmp_path, "\n".join(lines), split_column="split")
    with pytest.raises(InvalidInput, match="one class"):
        _train(dataset, tmp_path, recorder, task="tabular-classification")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"task": "image-classification"}, "exactly one image column"),
        ({"task": "tabular-regression"}, "target of numbers"),
        ({"task": "tabular-classification", "target": "colour"}, "no such target column"),
    ],
)
def test_data_that_does_not_fit_the_task(
    recipe: dict[str, Any], words: str, tmp_path: Path, recorder: Any
) -> None:
    rows = "\n".join(f"{n}.5,{'ab'[n % 2]}" for n in range(40))
    with pytest.raises(InvalidInput, match=words):
        _train(_csv(tmp_path, f"x,y\n{rows}"), tmp_path, recorder, **recipe)
    assert not (tmp_path / "out-1").exists()


def test_an_export_that_answers_otherwise_is_refused(
    builtin: Builtin, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that is wrong on rows that are not golden: a tree whose last leaf was changed."""
    import onnx

    from modelyard.training import sklearn, sklearn_export

    def wrong(estimator: Any, job: Any) -> bytes:
        model = onnx.load_from_string(sklearn_export.to_onnx(estimator, job))
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "class_weights":
                    attribute.floats[-1] = 1 - attribute.floats[-1]
        return model.SerializeToString()

    monkeypatch.setattr(sklearn, "to_onnx", wrong)
    with pytest.raises(ParityMismatch):
        _train(builtin("wine"), tmp_path, recorder, task="tabular-classification", net="decision_tree")


def test_framework_table_names_what_nets_use() -> None:
    assert {nets.load(name).framework for name in nets.NETS} <= set(package_training.FRAMEWORKS)
