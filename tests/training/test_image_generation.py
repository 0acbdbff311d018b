"""Nets that make images, from a recipe to a package and a report, on scans of digits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import datasets, training
from modelyard.datasets import Dataset
from modelyard.engines import open_model
from modelyard.evaluation import Bootstrap, EvaluationOptions, evaluate, write_report

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"


def recipe(name: str, **changes: Any) -> training.Recipe:
    """One of examples/recipes, on digits and shortened; `training` over its own keys."""
    given = training.parse_recipe((RECIPES / f"{name}.yaml").read_text()).to_dict()
    given |= {"data": "digits", "preprocessing": {"latent": 8}}
    given["training"] |= {
        "learning_rate": 0.005,
        "batch_size": 32,
        "schedule": "constant",
        **changes.pop("training"),
    }
    return training.parse_recipe(given | changes)


def trained(given: training.Recipe, data: Dataset, folder: Path, recorder: Any) -> training.TrainResult:
    return training.train(given, data, folder / "package", folder / "checkpoints", 1, recorder)


def values(data: Dataset, folder: Path, recorder: Any) -> dict[str, float]:
    options = EvaluationOptions(bootstrap=Bootstrap(resamples=20))
    found = evaluate(open_model(folder / "package"), data, options, recorder)
    write_report(found.report, folder / "report", found.mistakes, found.exhibits)
    assert len(found.exhibits) == 2
    return found.report.metrics.values


@pytest.fixture
def unlabelled(
    tmp_path_factory: pytest.TempPathFactory, builtin: Callable[[str], Dataset], recorders: Any
) -> Dataset:
    """A folder of files without a class."""
    folder = tmp_path_factory.mktemp("pictures")
    for split, few in (("train", 120), ("test", 30)):
        (folder / "in" / split).mkdir(parents=True)
        for number, data in enumerate(builtin("digits").columns(split, ["image"])["image"][:few]):
            (folder / "in" / split / f"{number}.png").write_bytes(data)
    datasets.ingest([folder / "in"], datasets.IngestOptions(), folder / "version", recorders())
    return datasets.open_dataset(folder / "version")


def test_a_vae_by_label(builtin: Callable[[str], Dataset], tmp_path: Path, recorder: Any) -> None:
    digits = builtin("digits")
    result = trained(recipe("fashion-vae", training={"epochs": 5}), digits, tmp_path, recorder)
    distances = [value for _, value in result.history["validation/frechet_distance"]]
    assert distances[-1] < 0.5 * distances[0]
    assert {"train/reconstruction", "train/kl", "validation/kl", "validation/recognised"} <= set(
        result.history
    )
    assert [exhibit.title for exhibit in result.exhibits] == ["Samples over training", "Reconstructions"]
    found = values(digits, tmp_path, recorder)
    assert found["recognised"] > 0.8
    assert found["judge_accuracy"] > 0.95
    assert found["frechet_distance"] > 0
    assert found["real_halves_distance"] > 0
    assert "Reconstructions" not in (tmp_path / "report" / "report.html").read_text()
    assert result.manifest.labels == tuple("0123456789")
    assert {"judge.onnx", "model.onnx", "weights.safetensors"} <= set(result.manifest.files)
    assert any(name.startswith("judge/") for _, told in recorder.points for name in told)


def test_a_gan_without_labels_asked_for(
    builtin: Callable[[str], Dataset], tmp_path: Path, recorder: Any
) -> None:
    digits = builtin("digits")
    given = recipe(
        "fashion-gan",
        task="unconditional-image-generation",
        training={"epochs": 4, "learning_rate": 0.001, "ema": 0.9},
    )
    result = trained(given, digits, tmp_path, recorder)
    names = {"train/generator/loss", "train/discriminator/loss", "train/discriminator/accuracy"}
    assert names <= set(result.history)
    distances = [value for _, value in result.history["validation/frechet_distance"]]
    assert min(distances[1:]) < distances[0]
    assert "validation frechet_distance went from" in result.fit.why
    found = values(digits, tmp_path, recorder)
    assert set(found) == {
        *("frechet_distance", "real_halves_distance", "class_imbalance", "mean_confidence", "judge_accuracy"),
    }


def test_an_evaluation_is_repeated_to_the_last_digit(
    builtin: Callable[[str], Dataset], tmp_path: Path, recorder: Any
) -> None:
    digits = builtin("digits")
    trained(recipe("fashion-gan", training={"epochs": 1}), digits, tmp_path, recorder)
    assert values(digits, tmp_path, recorder) == values(digits, tmp_path, recorder)


def test_a_killed_run_goes_on_as_if_it_had_not_been(
    builtin: Callable[[str], Dataset], tmp_path: Path, recorders: Any
) -> None:
    digits = builtin("digits")
    given = recipe("digits-vae", training={"epochs": 3})
    counted = recorders()
    whole = trained(given, digits, tmp_path / "whole", counted)
    with pytest.raises(KeyboardInterrupt):  # in its last epoch: the judge is trained by then
        trained(given, digits, tmp_path / "broken", recorders(stop_at=counted.calls - 4))
    checkpoints = tmp_path / "broken" / "checkpoints"
    again = training.train(given, digits, tmp_path / "again", checkpoints, 2, recorders())
    assert again.history == whole.history
    assert [e.pictures for e in again.exhibits] == [e.pictures for e in whole.exhibits]
    assert again.manifest.files["judge.onnx"] == whole.manifest.files["judge.onnx"]


def test_images_without_labels(unlabelled: Dataset, tmp_path: Path, recorder: Any) -> None:
    result = trained(recipe("digits-vae", training={"epochs": 2}), unlabelled, tmp_path, recorder)
    assert "judge.onnx" not in result.manifest.files
    assert result.manifest.labels == ()
    found = values(unlabelled, tmp_path, recorder)
    assert set(found) == {"frechet_distance", "real_halves_distance"}
    assert np.isfinite(list(found.values())).all()
