import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard import tasks
from modelyard.errors import InvalidInput, UnknownName
from modelyard.types.dataset import Column, Schema

TASK: Any = tasks.load("object-detection")
LABELS = ["cat", "dog"]
SCHEMA = Schema(
    columns=(Column(name="image", kind="image"), Column(name="objects", kind="text")), label="objects"
)


def _png(size: tuple[int, int], mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 90 if mode == "L" else (10, 90, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def _objects(*boxes: list[float], name: str = "cat") -> str:
    return json.dumps({"bbox": boxes, "categories": [name] * len(boxes)})


def _fitted(*sizes: tuple[int, int], **options: Any) -> dict[str, Any]:
    columns = {"image": [_png(size) for size in sizes], "objects": [_objects()] * len(sizes)}
    return TASK.fit(columns, SCHEMA, options)


def _raw(rows: int, *found: tuple[list[float], list[float]]) -> dict[str, Any]:
    boxes, scores = zip(*found, strict=True)
    return {"boxes": np.array([boxes] * rows, np.float32), "scores": np.array([scores] * rows, np.float32)}


@pytest.mark.parametrize(
    ("columns", "target", "words"),
    [
        ([Column(name="y", kind="text")], "y", "exactly one image column"),
        ([Column(name="a", kind="image")], "y", "no such target column"),
        (
            [Column(name="a", kind="image"), Column(name="y", kind="integer")],
            "y",
            "needs a target of objects.*bbox",
        ),
    ],
)
def test_check_says_what_is_there_and_what_is_needed(columns: list[Column], target: str, words: str) -> None:
    assert TASK.check(SCHEMA, "objects") == ["image"]
    with pytest.raises(InvalidInput, match=words):
        TASK.check(Schema(columns=tuple(columns)), target)


def test_fit_takes_the_proportions_of_the_images() -> None:
    assert _fitted((640, 480), (640, 480), (10, 10))["size"] == [96, 128]
    assert _fitted((20, 20))["size"] == [32, 32]
    fitted = _fitted((640, 480), size=[64, 96], detections=7, overlap=0.4)
    assert (fitted["size"], fitted["detections"], fitted["overlap"]) == ([64, 96], 7, 0.4)
    with pytest.raises(UnknownName, match="did you mean 'detections'"):
        _fitted((9, 9), detection=3)


def test_examples_have_boxes_in_pixels_of_the_models_input() -> None:
    prepared = TASK.prepare(_fitted((256, 128)))
    assert prepared.size == (64, 128)
    columns = {"image": [_png((256, 128)), _png((64, 128))]}
    found = TASK.examples(prepared, columns, [_objects([20, 40, 100, 60]), _objects()], LABELS)
    assert found.inputs["image"].shape == (2, 64, 128, 3)
    assert found.targets["boxes"].dtype == np.float32
    assert found.targets["boxes"].tolist() == [[[10, 20, 60, 50]], [[0, 0, 0, 0]]]
    assert found.targets["classes"].tolist() == [[0], [-1]]


def test_boxes_come_in_pixels_of_the_callers_image() -> None:
    fitted = _fitted((128, 128))
    prepared = TASK.prepare(fitted)
    arrays = prepared.decode({"image": [_png((256, 64)), _png((128, 128), "L")]})
    assert arrays["size"].tolist() == [[64, 256], [128, 128]]
    assert prepared.transform(arrays).keys() == {"image"}
    raw = _raw(2, ([16, 32, 64, 96], [0.9, 0.2]), ([100, 100, 140, 150], [0.1, 0.6]))
    outputs = prepared.complete(arrays, raw)
    for spec in TASK.signature(fitted, LABELS).outputs:
        assert outputs[spec.name].shape == (2, *spec.shape[1:])
    assert outputs["boxes"][0, :2].tolist() == [[32, 16, 128, 48], [200, 50, 256, 64]]
    assert outputs["boxes"][1, :2].tolist() == [[16, 32, 64, 96], [100, 100, 128, 128]]
    answers = TASK.encode(outputs, LABELS, {})
    assert answers[0] == [
        {
            "label": "cat",
            "score": pytest.approx(0.9),
            "box": {"xmin": 32, "ymin": 16, "xmax": 128, "ymax": 48},
        },
        {
            "label": "dog",
            "score": pytest.approx(0.6),
            "box": {"xmin": 200, "ymin": 50, "xmax": 256, "ymax": 64},
        },
    ]
    assert len(TASK.encode(outputs, LABELS, {"threshold": 0.05})[0]) == 4
    assert TASK.encode(outputs, LABELS, {"threshold": 0.95}) == [[], []]
    assert TASK.encode(outputs, LABELS, {"threshold": None})[1] == TASK.encode(outputs, LABELS, {})[1]


def test_an_image_turned_by_its_exif_is_told_as_it_is_seen() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (40, 20)).save(buffer, "JPEG", exif=exif)
    prepared = TASK.prepare(_fitted((32, 32)))
    assert prepared.decode({"image": [buffer.getvalue()]})["size"].tolist() == [[40, 20]]


def test_pixels_of_the_models_size_are_taken_as_they_are() -> None:
    prepared = TASK.prepare(_fitted((32, 32)))
    arrays = prepared.decode({"image": np.zeros((3, 32, 32, 3), np.uint8)})
    assert arrays["size"].tolist() == [[32, 32]] * 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": np.zeros((2, 2), np.int64)}, "not the height and width of each image"),
        ({"size": np.ones((1, 2), np.int64)}, "not the height and width of each image"),
        ({"size": np.full((2, 2), 2**40)}, "not the height and width of each image"),
        ({"image": np.zeros((2, 9, 9, 3), np.uint8)}, "wrong shape"),
        ({"other": np.zeros(2)}, "two inputs are needed"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any], words: str) -> None:
    prepared = TASK.prepare(_fitted((32, 32)))
    arrays = {"image": np.zeros((2, 32, 32, 3), np.uint8), "size": np.ones((2, 2), np.int64)} | change
    with pytest.raises(InvalidInput, match=words):
        prepared.transform(arrays)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "high"}, "threshold"),
        ({"treshold": 0.5}, "did you mean 'threshold'"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(parameters: dict[str, Any], words: str) -> None:
    outputs = {"boxes": np.zeros((1, 2, 4)), "scores": np.zeros((1, 2)), "classes": np.full((1, 2), -1)}
    with pytest.raises(InvalidInput, match=words):
        TASK.encode(outputs, LABELS, parameters)


def test_answers_that_are_not_finite_are_refused() -> None:
    prepared = TASK.prepare(_fitted((32, 32)))
    arrays = prepared.decode({"image": [_png((32, 32))]})
    with pytest.raises(InvalidInput, match="no finite answer"):
        prepared.complete(arrays, _raw(1, ([0, 0, float("nan"), 1], [0.5, 0.5])))


def test_the_page_shows_true_and_found_boxes() -> None:
    prepared = TASK.prepare(_fitted((64, 64)))

    def predict(arrays: Any) -> Any:
        raw = _raw(len(arrays["image"]), ([0, 0, 30, 30], [0.9, 0.1]))
        return prepared.complete(arrays, raw)

    columns = {"image": [_png((64, 64))] * 20, "objects": [_objects([2, 2, 30, 30])] * 20}
    (exhibit,) = TASK.exhibits(predict, prepared, columns, LABELS)
    assert len(exhibit.pictures) == 12
    assert exhibit.pictures[0].caption == "there: cat; found: cat"
    with Image.open(io.BytesIO(exhibit.pictures[0].png)) as image:
        assert image.size == (320, 320)
        assert len(image.getcolors(100_000) or []) > 3
