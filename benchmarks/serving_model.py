"""What the serving benchmark needs once: the Fashion-MNIST cnn as a package, and the peers' environments."""

import json
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard import datasets, engines, training

WORK: Final = Path(__file__).resolve().parent.parent / ".bench"
ROWS: Final = 64


class Silent:
    """A Reporter that says nothing."""

    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


def package() -> Path:
    """The package of the default cnn, trained for one epoch: weights do not change what serving costs."""
    folder = WORK / "package"
    if not (folder / "model.json").exists():
        print("training the Fashion-MNIST cnn for one epoch", flush=True)
        data = WORK / "fashion-mnist"
        if not (data / "dataset.json").exists():
            datasets.ingest([], datasets.IngestOptions(builtin="fashion-mnist"), data, Silent())
        recipe = training.parse_recipe(
            {
                "task": "image-classification",
                "name": "fashion",
                "data": "fashion-mnist",
                "net": "cnn",
                "training": {"epochs": 1},
            }
        )
        training.train(recipe, datasets.open_dataset(data), folder, WORK / "checkpoints", 1, Silent())
    return folder


def images(model: engines.Model) -> np.ndarray[Any, Any]:
    """Real test images as the model takes them: uint8 [ROWS, 28, 28, 1]."""
    dataset = datasets.open_dataset(WORK / "fashion-mnist")
    column = model.task.features(model.manifest.preprocessing)[0]
    batch = next(iter(dataset.batches("test", [column], rows=ROWS)))
    return model.prepared.decode(batch)["image"]


def body(image: np.ndarray[Any, Any]) -> bytes:
    """One image as every server is sent it: an Open Inference Protocol request."""
    data = image.ravel().tolist()
    tensor = {"name": "image", "shape": [1, *image.shape], "datatype": "UINT8", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def raw_cpu_us(model: engines.Model, pixels: np.ndarray[Any, Any], rows: int, seconds: float = 1.0) -> float:
    """CPU microseconds a row of ONNX Runtime alone, one thread, batches of `rows`."""
    batch = {"image": np.ascontiguousarray(pixels[:rows])}
    run = model.engine.run
    run(batch)
    done, began, until = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        run(batch)
        done += rows
    return (time.process_time() - began) / done * 1e6
