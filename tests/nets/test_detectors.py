"""The detectors build for any image, learn where and what, and mine hard negatives."""

from typing import Any

import pytest
import torch

from modelyard import nets
from modelyard.nets import Shape
from modelyard.types.tensor import TensorSpec

NETS = nets.taking("object-detection")
SMALL: dict[str, Any] = {"width": 4, "neck": 8}


def shape_of(height: int, width: int, channels: int = 3, classes: int = 2) -> Shape:
    return Shape(
        inputs=(TensorSpec(name="image", datatype="UINT8", shape=(-1, height, width, channels)),),
        outputs=(
            TensorSpec(name="boxes", datatype="FP32", shape=(-1, -1, 4)),
            TensorSpec(name="scores", datatype="FP32", shape=(-1, -1, classes)),
        ),
        preprocessing={"mean": [100.0] * channels, "std": [50.0] * channels},
    )


def built(name: str, shape: Shape, **config: Any) -> Any:
    net = nets.load(name)
    torch.manual_seed(0)
    return net.build(net.config(**{**SMALL, **config}), shape)


def targets_of(boxes: list[list[float]], classes: list[int]) -> dict[str, torch.Tensor]:
    return {"boxes": torch.tensor([boxes], dtype=torch.float32), "classes": torch.tensor([classes])}


@pytest.mark.parametrize("size", [(1, 1, 1), (32, 32, 3), (33, 70, 3), (64, 96, 1)])
@pytest.mark.parametrize("name", NETS)
def test_any_image_size(name: str, size: tuple[int, int, int]) -> None:
    module = built(name, shape_of(*size)).eval()
    pixels = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    found = module.answer(pixels)
    places = found["boxes"].shape[1]
    assert found["boxes"].shape == (3, places, 4)
    assert found["scores"].shape == (3, places, 2)
    assert (found["boxes"][..., 2:] > found["boxes"][..., :2]).all()
    assert ((found["scores"] >= 0) & (found["scores"] <= 1)).all()
    alone = module.answer(pixels[:1])
    assert torch.allclose(alone["boxes"], found["boxes"][:1], atol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_an_image_without_objects_has_a_finite_loss(name: str) -> None:
    module = built(name, shape_of(64, 64))
    losses = module.loss(
        {"image": torch.zeros(1, 64, 64, 3, dtype=torch.uint8)}, targets_of([[0, 0, 0, 0]], [-1])
    )
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    assert losses["box"] == 0


@pytest.mark.parametrize("name", NETS)
def test_a_box_that_was_moved_out_is_no_object(name: str) -> None:
    module = built(name, shape_of(64, 64))
    boxes = [[8.0, 8, 40, 40], [64, 5, 64, 30]]
    has = module._owners(*_objects(targets_of(boxes, [1, 0])))[1]
    alone = module._owners(*_objects(targets_of(boxes[:1], [1])))[1]
    assert torch.equal(has, alone)


def _objects(targets: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    from modelyard.nets.detection_layers import objects

    boxes, _, real = objects(targets)
    return boxes, real


@pytest.mark.parametrize("name", NETS)
def test_one_image_is_learned_by_heart(name: str) -> None:
    """What the loss asks for is what `answer` then says."""
    torch.manual_seed(1)
    module = built(name, shape_of(64, 64), width=8, neck=16)
    pixels = torch.randint(0, 60, (2, 64, 64, 3), dtype=torch.uint8)
    pixels[0, 10:34, 8:30] = 250
    pixels[1, 30:62, 20:60, 0] = 200
    targets = {
        "boxes": torch.tensor([[[8.0, 10, 30, 34]], [[20.0, 30, 60, 62]]]),
        "classes": torch.tensor([[0], [1]]),
    }
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        module.loss({"image": pixels}, targets)["loss"].backward()
        optimizer.step()
    with torch.no_grad():  # in training mode: running statistics of so few steps are none
        found = module.answer(pixels)
    from modelyard.nets.detection_layers import iou

    for row in (0, 1):
        best = int(found["scores"][row].max(dim=1).values.argmax())
        assert int(found["scores"][row, best].argmax()) == row
        assert float(iou(found["boxes"][row, best], targets["boxes"][row, 0])) > 0.7


def test_yolos_places_answer_for_the_object_near_them_on_the_map_of_its_size() -> None:
    module = built("yolo", shape_of(64, 64))
    boxes, real = _objects(targets_of([[4, 4, 20, 20], [0, 0, 60, 60], [6, 6, 18, 18]], [0, 0, 1]))
    owner, has = module._owners(boxes, real)
    assert module.strides[has[0]].tolist() == [8.0] * 9 + [16.0] * 9
    fine = has[0] & (module.strides == 8)
    assert set(owner[0][fine].tolist()) == {2}  # of two boxes the smaller one
    assert ((module.middles[fine] - 12).abs() < 12).all()
    assert set(owner[0][has[0] & (module.strides == 16)].tolist()) == {1}


def test_ssds_best_default_box_holds_an_object_however_little_they_share() -> None:
    module = built("ssd", shape_of(64, 64))
    boxes, real = _objects(targets_of([[0, 0, 3, 3], [16, 16, 40, 40]], [0, 1]))
    owner, has = module._owners(boxes, real)
    assert (owner[0][has[0]] == 0).sum() == 1
    assert (owner[0][has[0]] == 1).sum() >= 1


def test_ssds_offsets_lead_back_to_the_box() -> None:
    module = built("ssd", shape_of(64, 64))
    boxes = torch.tensor([[[5.0, 7, 33, 30]]]).expand(1, len(module.defaults), 4)
    offsets = module._offsets(boxes)
    module.forward = lambda image: (offsets, torch.zeros(1, len(module.defaults), 3))
    assert torch.allclose(module.answer(torch.zeros(1))["boxes"], boxes, atol=1e-3)


def test_hard_negatives_are_the_worst_three_for_each_positive() -> None:
    from modelyard.nets.ssd_module import hardest

    losses = torch.tensor([[9.0, 1, 5, 4, 3, 2], [1.0, 6, 5, 4, 3, 2]])
    has = torch.tensor([[True, False, False, False, False, False], [False] * 6])
    assert hardest(losses, has).tolist() == [
        [False, False, True, True, True, False],
        [False, True, True, True, False, False],
    ]


def test_default_boxes_have_the_papers_scales_and_ratios() -> None:
    from modelyard.nets.ssd import Ssd
    from modelyard.nets.ssd_module import default_boxes

    found = default_boxes(Ssd(scales=(0.25, 0.36, 0.5, 1.0), ratios=(4.0,)), shape_of(64, 128))
    assert found.shape == ((8 * 16 + 4 * 8 + 2 * 4) * 3, 4)
    assert found[0].tolist() == pytest.approx([4, 4, 32, 16])
    assert found[1].tolist() == pytest.approx([4, 4, 38.4, 19.2])
    assert found[2].tolist() == pytest.approx([4, 4, 64, 8])
    assert found[3][:2].tolist() == [12, 4]
