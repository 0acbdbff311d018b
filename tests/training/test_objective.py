"""Losses, and that all of a step happens where the module is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.tasks.contract import Examples
from modelyard.training import augment
from modelyard.training.objective import Objective, batches, cross_entropy
from small_jobs import image_job, table_job

ALL: dict[str, Any] = {"class_weights": "balanced", "label_smoothing": 0.1}


def test_soft_targets_are_classes_where_they_are_sure() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 3, 0])
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    shares = torch.eye(4)[targets]
    for given in ((0.0, None), (0.2, None), (0.0, weights), (0.2, weights)):
        assert cross_entropy(logits, shares, *given) == pytest.approx(cross_entropy(logits, targets, *given))


def test_weights_are_of_rows_whatever_else_is_in_a_batch() -> None:
    """The mean over one batch is the mean of its halves' means."""
    logits, targets = torch.randn(6, 2), torch.tensor([0, 0, 0, 1, 0, 1])
    weights = torch.tensor([0.5, 4.0])
    whole = cross_entropy(logits, targets, 0.0, weights)
    halves = [cross_entropy(logits[part], targets[part], 0.0, weights) for part in (slice(3), slice(3, 6))]
    assert whole == pytest.approx(sum(halves) / 2)


@pytest.mark.parametrize("net", ["cnn", "mlp", "resnet", "vit"])
def test_a_batch_goes_where_the_net_is(tmp_path: Path, net: str) -> None:
    """On "meta", a device that computes shapes alone, and refuses tensors of another one as CUDA does."""
    job = image_job(tmp_path, None, net=net, augmentation={"name": "images", "mixup": 0.5}, **ALL)
    augmenter = augment.load(job)
    assert augmenter is not None
    device = torch.device("meta")
    objective = Objective(job.net.build(job.config, job.shape).to(device).train(), job, device)
    for batch in (job.train, augmenter(job.train, augment.random_of(0, 1, 1))):
        loss = objective.losses(batch)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.device == device


def test_numbers_too(tmp_path: Path) -> None:
    job = table_job(tmp_path, None, classes=None)
    device = torch.device("meta")
    objective = Objective(job.net.build(job.config, job.shape).to(device), job, device)
    assert objective.losses(job.train)["loss"].device == device


def test_numbers_are_compared_in_deviations(tmp_path: Path) -> None:
    job = table_job(tmp_path, None, classes=None)
    torch.manual_seed(0)
    objective = Objective(job.net.build(job.config, job.shape).eval(), job)
    outputs = objective.outputs(job.train)["prediction"]
    expected = np.square((outputs - job.train.targets["target"]) / 20).mean()
    assert objective.losses(job.train)["loss"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "shape", "most"), [(2500, (28, 28, 1), 1024), (300, (128, 128, 3), 170), (3, (4096, 4096, 1), 1)]
)
def test_batches_hold_a_bounded_number_of_values(rows: int, shape: tuple[int, ...], most: int) -> None:
    images = np.broadcast_to(np.zeros((1, *shape), np.uint8), (rows, *shape))
    numbers, sizes = [], []
    for found, batch in batches(Examples(inputs={"image": images})):
        numbers += found.tolist()
        sizes.append(len(batch))
    assert numbers == list(range(rows))
    assert max(sizes) == most
