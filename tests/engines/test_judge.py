"""What generated images are compared by."""

from pathlib import Path

import numpy as np
import pytest

from modelyard.engines import open_judge
from modelyard.errors import InvalidInput

PLAIN = {"size": [8, 8], "mode": "L", "judge": {"file": "", "features": 0, "classes": 0}}


@pytest.mark.parametrize("size", [(3, 5, 1), (8, 8, 1), (28, 30, 3)])
def test_without_labels_pixels_are_averaged_down(size: tuple[int, int, int], tmp_path: Path) -> None:
    height, width, colours = size
    pixels = np.random.default_rng(0).integers(0, 256, (4, *size)).astype(np.uint8)
    features = open_judge(tmp_path, PLAIN).opinions(pixels)["features"]
    assert features.shape == (4, min(height, 8) * min(width, 8) * colours)
    assert features.mean() == pytest.approx(pixels.mean() / 255, abs=0.02)
    assert open_judge(tmp_path, PLAIN).opinions(pixels * 0 + 255)["features"] == pytest.approx(1.0)


def test_both_sides_are_compared_by_the_same_eyes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype(np.uint8)
    found = open_judge(tmp_path, PLAIN).compared(pixels, pixels[::-1])
    assert found.keys() == {"features", "real_features"}
    assert np.array_equal(found["features"], found["real_features"][::-1])


def test_a_package_without_a_judge_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no judge"):
        open_judge(tmp_path, {"size": [8, 8], "mode": "L"})
    with pytest.raises(InvalidInput):
        open_judge(tmp_path, PLAIN | {"judge": {"file": "judge.onnx", "features": 4, "classes": 2}})
