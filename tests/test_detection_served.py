"""Detectors from scenes to a stock client: written, added, trained, deployed, asked over HTTP."""

import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coco_reference import reference
from modelyard import datasets, engines
from modelyard.training import parse_recipe, train
from stocked import Stocked

ROOT = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.scenes,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("skimage") is None or not Path("/usr/share/datasets/fashion-mnist").is_dir(),
        reason="pip install scikit-image; apt-get install dataset-fashion-mnist",
    ),
]
SHORT = {"target": "objects", "preprocessing": {"size": [64, 64]}}


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "data" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    for split, count in (("train", 64), ("validation", 8), ("test", 16)):
        assert script("scenes").write(folder, split, count) > count
    return folder


@pytest.fixture(scope="session")
def version(scenes: Path) -> datasets.Dataset:
    out = scenes.parent / "version"
    datasets.ingest([scenes], datasets.IngestOptions(), out, Quiet())
    return datasets.open_dataset(out)


class Quiet:
    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


def test_scenes_are_the_same_again_and_their_boxes_are_inside(scenes: Path, tmp_path: Path) -> None:
    script("scenes").write(tmp_path, "validation", 8)
    for path in sorted((scenes / "validation").iterdir()):
        assert path.read_bytes() == (tmp_path / "validation" / path.name).read_bytes()
    for line in (scenes / "train" / "metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        with Image.open(scenes / "train" / row["file_name"]) as image:
            for x, y, width, height in row["objects"]["bbox"]:
                assert 0 <= x < x + width <= image.width
                assert 0 <= y < y + height <= image.height


def test_splits_share_no_part_of_a_photograph() -> None:
    made = script("scenes")
    for parts in zip(*(made.photographs(split) for split in made.SPLITS), strict=True):
        axis = int(np.argmax([np.ptp([part.shape[k] for part in parts]) for k in (0, 1)]))
        assert all(part.shape[1 - axis] == parts[0].shape[1 - axis] for part in parts)
    assert [made.PARTS[split] for split in made.SPLITS] == [(0.0, 0.6), (0.6, 0.75), (0.75, 1.0)]


def test_cocos_form_becomes_a_folder(scenes: Path, tmp_path: Path) -> None:
    annotations = {
        "images": [{"id": 7, "file_name": "00001.jpg"}, {"id": 3, "file_name": "00000.jpg"}],
        "categories": [{"id": 5, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 5, "bbox": [1, 2, 30.5, 4], "iscrowd": 0},
            {"id": 2, "image_id": 3, "category_id": 5, "bbox": [1, 2, 0, 4]},
            {"id": 3, "image_id": 3, "category_id": 5, "bbox": [1, 2, 9, 4], "iscrowd": 1},
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(annotations))
    script("coco").main(str(tmp_path / "instances.json"), str(scenes / "test"), str(tmp_path / "out"))
    version = tmp_path / "version"
    options = datasets.IngestOptions(fractions={"train": 1.0})
    datasets.ingest([tmp_path / "out"], options, version, Quiet())
    column = datasets.open_dataset(version).columns("train", ["objects"])["objects"]
    assert [json.loads(value) for value in column] == [
        {"bbox": [], "categories": []},
        {"bbox": [[1, 2, 30.5, 4]], "categories": ["cat"]},
    ]


@pytest.mark.parametrize("net", ["yolo", "ssd"])
def test_a_recipe_trained_shortly(net: str, version: datasets.Dataset, tmp_path: Path) -> None:
    """Its package answers as COCO's evaluation would have it, and its page shows boxes."""
    from modelyard.evaluation import EvaluationOptions, evaluate

    whole = parse_recipe((ROOT / "examples" / "recipes" / f"scenes-{net}.yaml").read_text()).to_dict()
    recipe = parse_recipe({**whole, **SHORT, "training": {**whole["training"], "epochs": 3}})
    result = train(recipe, version, tmp_path / "package", tmp_path / "checkpoints", 1, Quiet())
    assert len(result.manifest.labels) == 10
    points = result.history["train/loss"]
    assert points[-1][1] < points[0][1]
    model = engines.open_model(tmp_path / "package")
    columns = version.columns("test", ["image", "objects"])
    outputs = model.predict(model.prepared.decode({"image": columns["image"]}))
    targets = model.task.targets(columns["objects"], model.manifest.labels)
    found = model.task.metrics(outputs, targets, model.manifest.labels).values
    for name, value in reference(outputs, targets).items():
        assert found[name] == pytest.approx(value, abs=1e-9)
    report = evaluate(model, version, EvaluationOptions(), Quiet())
    assert report.report.metrics.main == "map_50"
    assert report.report.labels == model.manifest.labels
    assert any(exhibit.title == "Detections" and exhibit.pictures for exhibit in report.exhibits)


def test_a_stock_client_is_told_boxes_of_its_own_image(stocked: Stocked, scenes: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    yard = stocked.client
    yard.data.add("scenes", scenes)
    training = {"epochs": 4, "batch_size": 8}
    yard.train(task="object-detection", name="clothes", data="scenes", net="yolo", training=training, **SHORT)
    yard.deploy("clothes", "clothes", replicas=1)
    client = hub.InferenceClient(
        f"{yard.gateway_url}/models/clothes", token=yard.settings.api_key, timeout=30
    )
    photo = scenes / "test" / "00000.jpg"
    found = client.object_detection(str(photo), threshold=0.02)
    assert found
    with Image.open(photo) as image:
        small, large = image.size, image.resize((image.width * 5, image.height * 3))
    for one in found:
        assert 0 <= one.box.xmin <= one.box.xmax <= small[0]
        assert 0 <= one.box.ymin <= one.box.ymax <= small[1]
        assert one.score >= 0.02
        assert one.label in script("scenes").NAMES
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    wide = client.object_detection(buffer.getvalue(), threshold=0.02)
    assert max(one.box.xmax for one in wide) > small[0]
    assert client.object_detection(str(photo), threshold=1.0) == []
    assert yard.predict("clothes", photo, threshold=0.02)[0]["label"] == found[0].label
    assert len(yard.predict("clothes", [photo, photo], threshold=0.02)) == 2
    with pytest.raises(hub.errors.HfHubHTTPError) as caught:
        client.object_detection(b"\xff\xd8\xff no image")
    assert caught.value.response.status_code == 400
    assert "not an image that can be read" in caught.value.response.text
    with pytest.raises(hub.errors.HfHubHTTPError) as caught:
        client.object_detection(str(photo), threshold=7)
    assert caught.value.response.status_code == 400
    assert "threshold" in caught.value.response.text
