"""Changes of images: what they do to pixels, to targets, and that all of it comes from the generator."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Examples
from modelyard.training import augment
from modelyard.training.augment import images
from modelyard.training.augment.images import Images, Moves, erased, mixed, moved
from small_jobs import image_job, table_job


def _moves(rows: int, **given: Any) -> Moves:
    none: dict[str, Any] = {
        "size": (6, 8),
        "flipped": np.zeros(rows, bool),
        "down": np.zeros(rows, np.int64),
        "right": np.zeros(rows, np.int64),
        "degrees": np.zeros(rows),
    }
    return Moves(
        **{**none, **{name: value if name == "size" else np.array(value) for name, value in given.items()}}
    )


def _pixels(rows: int = 3) -> Any:
    return np.random.default_rng(0).integers(0, 256, (rows, 6, 8, 3), dtype=np.uint8)


def _augmenter(folder: Path, **given: Any) -> Any:
    options = {"name": "images", **given}
    return augment.load(image_job(folder, None, augmentation=options))


def test_mirrored_rows_are_numpys() -> None:
    x = _pixels()
    found = moved(x, _moves(3, flipped=[True, False, True]))
    assert np.array_equal(found[0], x[0][:, ::-1])
    assert np.array_equal(found[1], x[1])
    assert np.array_equal(found[2], x[2][:, ::-1])


def test_moved_rows_keep_the_edges_pixels_where_they_came_from() -> None:
    x = _pixels()
    found = moved(x, _moves(3, down=[2, -1, 0], right=[0, 3, -8]))
    assert np.array_equal(found[0][2:], x[0][:-2])
    assert (found[0][:2] == x[0][0]).all()
    assert np.array_equal(found[1][:-1, 3:], x[1][1:, :-3])
    assert (found[2] == x[2][:, -1:]).all()


def test_a_quarter_turn_is_numpys_and_half_a_turn_too() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 7, 7, 1), dtype=np.uint8)
    found = moved(x, _moves(2, degrees=[90.0, 180.0]))
    assert np.array_equal(found[0], np.rot90(x[0], -1))
    assert np.array_equal(found[1], x[1][::-1, ::-1])
    wide = _pixels(1)
    assert np.array_equal(moved(wide, _moves(1, degrees=[180.0]))[0], wide[0][::-1, ::-1])


def test_erased_rows_have_one_rectangle_of_noise() -> None:
    x = np.full((400, 20, 30, 1), 77, np.uint8)
    found = erased(x, 0.5, np.random.default_rng(0))
    changed = (found != 77)[..., 0]
    touched = changed.any(axis=(1, 2))
    assert 150 < touched.sum() < 250
    for row in changed[touched]:
        y, x_ = np.nonzero(row)
        area = (np.ptp(y) + 1) * (np.ptp(x_) + 1)
        assert 0.01 < area / 600 < 0.4
        assert row.sum() / area > 0.8  # noise is at times 77 too
    assert (erased(x, 0.0, np.random.default_rng(0)) == x).all()


def test_mixed_rows_are_between_two_and_so_are_their_targets() -> None:
    x = np.repeat(np.arange(4, dtype=np.uint8)[:, None, None, None] * 80, 2, axis=1)
    found, shares = mixed(x, np.eye(4, dtype=np.float32), 1.0, np.random.default_rng(1))
    assert shares.sum(axis=1) == pytest.approx(1)
    assert found[:, 0, 0, 0] == pytest.approx(shares @ np.array([0, 80, 160, 240]), abs=0.51)
    assert 0 < (shares > 0).sum(axis=1).max() <= 2


def test_the_augmenter_draws_by_the_generator_alone_and_leaves_the_batch(tmp_path: Path) -> None:
    augmenter = _augmenter(tmp_path, flip=0.5, crop=2, rotate=10.0, erase=0.3, mixup=0.2)
    batch = image_job(tmp_path, None).train
    before = batch.inputs["image"].copy()
    one, same, other = (augmenter(batch, augment.random_of(0, 1, number)) for number in (1, 1, 2))
    assert np.array_equal(batch.inputs["image"], before)
    assert np.array_equal(one.inputs["image"], same.inputs["image"])
    assert np.array_equal(one.targets["target"], same.targets["target"])
    assert not np.array_equal(one.inputs["image"], other.inputs["image"])
    assert one.inputs["image"].dtype == np.uint8
    assert one.targets["target"].dtype == np.float32
    assert one.targets["target"].shape == (45, 3)


def test_without_mixup_targets_stay_classes(tmp_path: Path) -> None:
    batch = image_job(tmp_path, None).train
    found = _augmenter(tmp_path, flip=1.0)(batch, augment.random_of(0, 1, 1))
    assert np.array_equal(found.targets["target"], batch.targets["target"])
    assert np.array_equal(found.inputs["image"], batch.inputs["image"][:, :, ::-1])


def test_targets_with_a_place_move_along_or_the_recipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = image_job(tmp_path, None, augmentation={"name": "images", "flip": 1.0})
    masks = np.arange(45 * 8).reshape(45, 8)
    placed = Examples(inputs=job.train.inputs, targets={**job.train.targets, "columns": masks})
    object.__setattr__(job, "train", placed)
    with pytest.raises(InvalidInput, match=r"would move images and not their targets; came: \['columns'\]"):
        augment.load(job)
    monkeypatch.setitem(images.MOVED, "columns", lambda values, moves: values[:, ::-1])
    augmenter = augment.load(job)
    assert augmenter is not None
    found = augmenter(placed, augment.random_of(0, 1, 1))
    assert np.array_equal(found.targets["columns"], masks[:, ::-1])


def test_boxes_stay_on_what_they_hold() -> None:
    """A bright block in each image, and the box that it has before and after."""
    rows, random = 40, np.random.default_rng(0)
    x, boxes = np.zeros((rows, 40, 60, 1), np.uint8), np.zeros((rows, 2, 4), np.float32)
    for row in range(rows):
        left, top = random.integers(10, 40), random.integers(10, 20)
        right, bottom = left + random.integers(5, 12), top + random.integers(5, 12)
        x[row, top:bottom, left:right] = 255
        boxes[row, 0] = left, top, right, bottom
    moves = _moves(
        rows, size=(40, 60), flipped=random.random(rows) < 0.5, degrees=random.choice([0.0, 90.0, 30.0], rows),
        down=random.integers(-5, 6, rows), right=random.integers(-5, 6, rows),
    )  # fmt: skip
    found, there = images.moved_boxes(boxes, moves), moved(x, moves)
    assert found.dtype == np.float32
    assert (found[:, 1] == 0).all()  # padding
    for row in range(rows):
        y, x_ = np.nonzero(there[row, ..., 0] > 127)
        expected = [x_.min(), y.min(), x_.max() + 1, y.max() + 1]
        slack = 0.01 if moves.degrees[row] in (0, 90) else 1.5
        assert found[row, 0] == pytest.approx(expected, abs=slack)


def test_a_box_that_leaves_the_image_is_no_more() -> None:
    boxes = np.array([[[0, 0, 2, 6]], [[0, 0, 4, 6]]], np.float32)
    found = images.moved_boxes(boxes, _moves(2, right=[-3, -3]))
    assert found.tolist() == [[[0, 0, 0, 0]], [[0, 0, 1, 6]]]


def test_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"needs images as the net's first input; came: .*features.*float32"
    ):
        augment.load(table_job(tmp_path, None, augmentation={"name": "images", "flip": 0.5}))


def test_the_report_shows_rows_before_and_after(tmp_path: Path) -> None:
    job = image_job(tmp_path, None, augmentation={"name": "images", "crop": 2})
    (found,) = augment.exhibits(job)
    assert len(found.pictures) == 8
    assert found.pictures[0].caption in ("a", "b", "c")
    strip = np.asarray(Image.open(io.BytesIO(found.pictures[0].png)))
    assert strip.shape == (96, 5 * 96 + 4 * 4)
    assert np.array_equal(strip[::12, :96:12], job.train.part(8).inputs["image"][0][..., 0])
    assert augment.exhibits(image_job(tmp_path, None)) == ()


def test_every_option_is_off_by_default(tmp_path: Path) -> None:
    batch = image_job(tmp_path, None).train
    found = _augmenter(tmp_path)(batch, augment.random_of(0, 1, 1))
    assert np.array_equal(found.inputs["image"], batch.inputs["image"])
    assert Images() == Images(flip=0.0, crop=0, rotate=0.0, erase=0.0, mixup=0.0)
