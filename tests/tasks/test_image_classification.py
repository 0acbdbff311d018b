import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard import tasks
from modelyard.errors import InvalidInput, UnknownName
from modelyard.types.dataset import Column, Schema

TASK = tasks.load("image-classification")
SCHEMA = Schema(
    columns=(Column(name="picture", kind="image"), Column(name="kind", kind="category")), label="kind"
)


def _png(value: int, size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def _fitted(images: list[bytes], **options: Any) -> dict[str, Any]:
    return TASK.fit({"picture": np.array(images, dtype=object)}, SCHEMA, options)


def test_check_finds_the_image_column() -> None:
    assert TASK.check(SCHEMA, "kind") == ["picture"]


@pytest.mark.parametrize(
    ("columns", "target", "words"),
    [
        ([Column(name="y", kind="category")], "y", "exactly one image column"),
        ([Column(name="a", kind="image"), Column(name="b", kind="image")], "y", "exactly one image column"),
        ([Column(name="a", kind="image")], "y", "no such target column"),
        ([Column(name="a", kind="image"), Column(name="y", kind="number")], "y", "target of classes"),
    ],
)
def test_check_says_what_is_there_and_what_is_needed(columns: list[Column], target: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        TASK.check(Schema(columns=tuple(columns)), target)


def test_fit_takes_the_training_images_size_mode_and_moments() -> None:
    fitted = _fitted([_png(0), _png(100)])
    assert fitted == {"column": "picture", "mode": "L", "size": [8, 8], "mean": [50.0], "std": [50.0]}


def test_fit_takes_the_median_size_with_a_longest_side_of_64() -> None:
    fitted = _fitted([_png(0, (640, 320)), _png(1, (640, 320)), _png(2, (10, 10))])
    assert fitted["size"] == [32, 64]


def test_one_colour_image_makes_all_colour() -> None:
    fitted = _fitted([_png(10), _png(10, mode="RGB")])
    assert fitted["mode"] == "RGB"
    assert len(fitted["mean"]) == 3
    assert all(s > 0 for s in fitted["std"])


def test_fit_takes_options_and_refuses_others() -> None:
    assert _fitted([_png(1)], size=[4, 6], mode="RGB")["size"] == [4, 6]
    with pytest.raises(UnknownName, match="did you mean 'size'"):
        _fitted([_png(1)], sise=[4, 6])
    with pytest.raises(InvalidInput, match="out of range"):
        _fitted([_png(1)], size=[0, 6])
    with pytest.raises(InvalidInput, match="missing values"):
        TASK.fit({"picture": [_png(1), None]}, SCHEMA, {})


@pytest.mark.parametrize("name", ["image", "picture"])
def test_an_encoded_image_becomes_the_engines_tensor(name: str) -> None:
    prepared = TASK.prepare(_fitted([_png(7)]))
    arrays = prepared.decode({name: [_png(7), _png(9, (16, 16))]})
    tensors = prepared.transform(arrays)
    assert tensors["image"].shape == (2, 8, 8, 1)
    assert tensors["image"].dtype == np.uint8
    assert tensors["image"][1].max() == 9


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"image": []},
        {"picture": [b"x"], "image": [b"x"]},
        {"other": [b"x"]},
        {"image": [b"not an image"]},
        {"image": ["text"]},
        {"image": [None]},
        {"image": np.zeros((1, 8, 8), np.uint8)},
        {"image": np.zeros((1, 8, 9, 1), np.uint8)},
        {"image": np.zeros((0, 8, 8, 1), np.uint8)},
        {"image": np.zeros((1, 8, 8, 1), np.float32)},
    ],
)
def test_decode_refuses(columns: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        TASK.decode(columns, _fitted([_png(7)]))


def test_transform_refuses_shapes_that_decode_did_not_make() -> None:
    fitted = _fitted([_png(7)])
    for pixels in (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8, 1), np.int64), np.zeros(3, np.uint8)):
        with pytest.raises(InvalidInput, match="wrong shape or type"):
            TASK.transform({"image": pixels}, fitted)
    with pytest.raises(InvalidInput, match="one input"):
        TASK.transform({"pixels": np.zeros((2, 8, 8, 1), np.uint8)}, fitted)


def test_sample_reads_bytes_and_base64() -> None:
    data = _png(3)
    text = base64.b64encode(data).decode()
    for inputs in (data, text, [text], {"image": text}, {"image": [text]}):
        assert TASK.sample(inputs) == {"image": [data]}
    for bad in (5, None, [5], {"url": "http://127.0.0.1/"}, "no base64!", [[1, 2]]):
        with pytest.raises(InvalidInput):
            TASK.sample(bad)


def test_encode_sorts_and_cuts() -> None:
    outputs = {"probabilities": np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], dtype=np.float32)}
    labels = ("a", "b", "c")
    answers = TASK.encode(outputs, labels, {"top_k": 2})
    assert [[a["label"] for a in row] for row in answers] == [["c", "b"], ["a", "b"]]
    assert answers[0][0]["score"] == pytest.approx(0.7)
    assert isinstance(answers[0][0]["score"], float)
    assert len(TASK.encode(outputs, labels, {})[0]) == 3
    assert len(TASK.encode(outputs, labels, {"function_to_apply": "softmax", "top_k": 99})[0]) == 3


@pytest.mark.parametrize(
    "parameters",
    [
        {"top_k": 0},
        {"top_k": -1},
        {"top_k": "5"},
        {"top_k": True},
        {"top_k": 1.5},
        {"function_to_apply": "none"},
    ],
)
def test_encode_refuses_parameters_out_of_range(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        TASK.encode({"probabilities": np.ones((1, 1), np.float32)}, ("a",), parameters)


def test_encode_refuses_unknown_parameters_and_answers_that_are_not_numbers() -> None:
    with pytest.raises(UnknownName, match="did you mean 'top_k'"):
        TASK.encode({"probabilities": np.ones((1, 1), np.float32)}, ("a",), {"topk": 1})
    with pytest.raises(InvalidInput, match="no finite answer"):
        TASK.encode({"probabilities": np.array([[np.nan]], np.float32)}, ("a",), {})


def test_targets_are_numbers_of_labels() -> None:
    assert TASK.targets(np.array([3, 1]), ("1", "3")).tolist() == [1, 0]
    assert TASK.targets(np.array([3.0, 1.0]), ("1", "3")).tolist() == [1, 0]
    assert TASK.targets(np.array([True, False]), ("false", "true")).tolist() == [1, 0]
    assert TASK.targets(np.array(["x", "y"], dtype=object), ("x", "y")).dtype == np.int64
    with pytest.raises(InvalidInput, match="missing values"):
        TASK.targets(np.array(["x", None], dtype=object), ("x",))
    with pytest.raises(InvalidInput, match="missing values"):
        TASK.targets(np.array([1.0, np.nan]), ("1",))
    with pytest.raises(InvalidInput, match="unknown classes"):
        TASK.targets(["z"], ("x",))
