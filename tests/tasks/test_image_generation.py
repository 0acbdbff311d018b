"""Images from seeds and from prompts: what comes in, what goes out, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from modelyard import tasks
from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks.mosaic import mosaic, png, to_pixels
from modelyard.types.dataset import Column, Schema

LABELS = ("T-shirt/top", "Bag", "Ankle boot")
FITTED = {"column": "image", "mode": "L", "size": [8, 6], "mean": [100.0], "std": [50.0], "latent": 5,
          "labels": list(LABELS), "target": "label"}  # fmt: skip
PROMPTED, SEEDED = tasks.load("text-to-image"), tasks.load("unconditional-image-generation")


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 6, 1)).astype(np.uint8)
    return png(pixels)


def test_a_prompt_is_a_label_in_any_case() -> None:
    prepared = PROMPTED.prepare(FITTED)
    arrays = prepared.decode(PROMPTED.sample(["bag", " Ankle boot ", "T-shirt/top"]))
    assert arrays["label"].tolist() == [1, 2, 0]
    assert arrays["noise"].shape == (3, 5)
    assert arrays["noise"].dtype == np.float32
    assert prepared.transform(arrays)["label"].dtype == np.int64


def test_without_a_seed_noise_is_fresh_and_with_one_it_comes_again() -> None:
    prepared = PROMPTED.prepare(FITTED)
    arrays = prepared.decode({"text": ["Bag", "Bag"]})
    again = prepared.decode({"text": ["Bag", "Bag"]})
    assert not np.array_equal(arrays["noise"], again["noise"])
    found = [prepared.adjusted(a, {"seed": 7})["noise"] for a in (arrays, again)]
    assert np.array_equal(*found)
    assert not np.array_equal(found[0][0], found[0][1])
    alone = prepared.adjusted(prepared.decode({"text": ["Bag"]}), {"seed": 7})["noise"]
    assert np.array_equal(alone[0], found[0][0])
    listed = prepared.decode({"text": ["Bag", "Bag"], "seed": [7, 8]})["noise"]
    assert np.array_equal(listed[0], alone[0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["Bag", 3], "a prompt is a text"),
        (["Bags"], "unknown label 'Bags' in prompt; did you mean 'Bag'?"),
        ([], "1 to 64 prompts"),
        (["Bag"] * 65, "1 to 64 prompts"),
        (3.5, "inputs are no prompts"),
        ({"text": "Bag", "size": 4}, "other columns"),
        ({"text": ["Bag"], "seed": ["1"]}, "a seed is a whole number"),
        ({"text": ["Bag"], "seed": [-1]}, "a seed is a whole number"),
        ({"text": ["Bag"], "seed": [1, 2]}, "the same number of rows"),
    ],
)
def test_bad_prompts_are_told_what_is_allowed(given: object, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        PROMPTED.prepare(FITTED).decode(PROMPTED.sample(given))
    assert said in error.value.message


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"height": 512}, "one size"),
        ({"guidance_scale": 7.5}, "guidance_scale"),
    ],
)
def test_parameters_that_the_model_does_not_have_are_refused(parameters: dict, said: str) -> None:
    prepared = PROMPTED.prepare(FITTED)
    arrays = prepared.decode({"text": ["Bag"]})
    with pytest.raises(InvalidInput, match=said):
        prepared.adjusted(arrays, parameters)
    assert prepared.adjusted(arrays, {"height": 8, "width": 6}).keys() == {"noise", "label"}


@pytest.mark.parametrize(
    "arrays",
    [
        {"noise": np.zeros((2, 5), np.float32)},
        {"noise": np.zeros((2, 4), np.float32), "label": np.zeros(2, np.int64)},
        {"noise": np.zeros((2, 5)), "label": np.zeros(2, np.int64)},
        {"noise": np.full((1, 5), np.nan, np.float32), "label": np.zeros(1, np.int64)},
        {"noise": np.zeros((2, 5), np.float32), "label": np.array([0, 3])},
        {"noise": np.zeros((2, 5), np.float32), "label": np.array([-1, 0])},
        {"noise": np.zeros((2, 5), np.float32), "label": np.zeros((2, 1), np.int64)},
    ],
)
def test_tensors_that_the_engine_cannot_be_given_are_refused(arrays: dict) -> None:
    with pytest.raises(InvalidInput):
        PROMPTED.prepare(FITTED).transform(arrays)


def test_seeds_alone() -> None:
    prepared = SEEDED.prepare(FITTED)
    one = prepared.decode(SEEDED.sample(7))["noise"]
    several = prepared.decode(SEEDED.sample([7, 8]))["noise"]
    assert np.array_equal(one[0], several[0])
    assert not np.array_equal(several[0], several[1])
    for nothing in (None, "", b"", {}, []):
        assert prepared.decode(SEEDED.sample(nothing))["noise"].shape == (1, 5)
    for bad in ("a cat", [1.5], [True], -3, {"seeds": [1]}, [1] * 65):
        with pytest.raises(InvalidInput):
            prepared.decode(SEEDED.sample(bad))


def test_a_data_sets_rows_draw_the_same_noise_at_each_evaluation() -> None:
    prepared = SEEDED.prepare(FITTED)
    images = [picture(1), picture(2)]
    first, second = (prepared.decode({"image": images})["noise"] for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    found = PROMPTED.prepare(FITTED).decode({"image": images, "label": ["Bag", "T-shirt/top"]})
    assert found["label"].tolist() == [1, 0]
    assert np.array_equal(found["noise"], first)
    assert prepared.pixels({"image": images}).shape == (2, 8, 6, 1)
    with pytest.raises(InvalidInput, match="not an encoded image"):
        prepared.decode({"image": [None]})


def test_answers_are_png_files() -> None:
    pixels = np.random.default_rng(0).random((2, 8, 6, 1), np.float32)
    files = PROMPTED.encode({"image": pixels}, LABELS, {"seed": 1})
    found = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    assert np.array_equal(found[1], np.rint(pixels[1, ..., 0] * 255).astype(np.uint8))
    with pytest.raises(InvalidInput, match="finite"):
        PROMPTED.encode({"image": pixels * np.nan}, LABELS, {})


def test_which_data_is_taken() -> None:
    image = Column(name="image", kind="image")
    label, number = Column(name="label", kind="category"), Column(name="x", kind="number")
    assert PROMPTED.check(Schema(columns=(image, label)), "label") == ["image", "label"]
    assert SEEDED.check(Schema(columns=(image, label)), "label") == ["image", "label"]
    assert SEEDED.check(Schema(columns=(image, number)), "x") == ["image"]
    assert SEEDED.check(Schema(columns=(image,)), "") == ["image"]
    with pytest.raises(InvalidInput, match="target of classes"):
        PROMPTED.check(Schema(columns=(image, number)), "x")
    with pytest.raises(InvalidInput, match="exactly one image column"):
        SEEDED.check(Schema(columns=(label,)), "")


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Ankle boot"):
        PROMPTED.prepare(FITTED).decode({"text": ["ankle boots"]})


def test_a_mosaic_has_every_image_in_its_place() -> None:
    pixels = to_pixels(np.linspace(0, 1, 5)[:, None, None, None] * np.ones((5, 4, 3, 1)))
    grid = np.asarray(Image.open(io.BytesIO(mosaic(pixels, 2))))
    scale = grid.shape[1] // 12
    assert grid.shape == (20 * scale, 12 * scale)
    assert grid[2 * scale, 2 * scale] == 0
    assert grid[2 * scale, 7 * scale] == 64
    assert grid[14 * scale, 2 * scale] == 255
