"""Training is the same whether it was killed or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard import nets, tasks
from modelyard.errors import Cancelled, InvalidInput
from modelyard.nets import Shape
from modelyard.tasks.contract import Examples
from modelyard.tasks.options import resolve
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.job import Job
from modelyard.training.loop import Loop
from modelyard.training.recipe import GradientTraining
from modelyard.types.tensor import TensorSpec

SETTINGS = [
    {"optimizer": "sgd", "schedule": {"name": "step", "every": 2}, "learning_rate": 0.1},
    {
        "optimizer": "adam",
        "schedule": {"name": "plateau", "patience": 1},
        "learning_rate": 0.05,
        "clip_norm": 0.5,
    },
    {
        "optimizer": "adamw",
        "schedule": {"name": "cosine"},
        "early_stopping": {"patience": 2},
        "weight_decay": 0.1,
    },
]


def _job(folder: Path, reporter: Any, *, attempt: int = 1, classes: int | None = 3, **given: Any) -> Job:
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 5)).astype(np.float32)
    y = (x[:, 0] * 2 + x[:, 1]) + random.normal(size=120) * 0.3
    targets: Any = np.digitize(y, [-1, 1]) if classes else y * 10 + 50
    spec = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, classes or 0))
    prediction = TensorSpec(name="prediction", datatype="FP32", shape=(-1,))
    net = nets.load("mlp")
    return Job(
        task=tasks.load("tabular-classification" if classes else "tabular-regression"),
        net=net,
        config=net.config(hidden=(16,), dropout=0.3),
        training=resolve(GradientTraining, {"epochs": 6, "batch_size": 16, **given}, "training"),
        shape=Shape(
            inputs=(TensorSpec(name="features", datatype="FP32", shape=(-1, 5)),),
            outputs=(spec if classes else prediction,),
            preprocessing={} if classes else {"target_mean": 50.0, "target_std": 20.0},
        ),
        train=Examples(inputs={"features": x[:90]}, targets={"target": targets[:90]}),
        validation=Examples(inputs={"features": x[90:]}, targets={"target": targets[90:]}),
        digest="d",
        checkpoints=folder,
        attempt=attempt,
        reporter=reporter,
    )


def _run(job: Job) -> Loop:
    torch.manual_seed(job.training.seed)
    module = job.net.build(job.config, job.shape)
    loop = Loop(job=job, module=module, checkpoints=Checkpoints(job.checkpoints, job.attempt))
    loop.run()
    return loop


def _same(one: Loop, other: Loop) -> None:
    assert one.state == other.state
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name]), name


@pytest.mark.parametrize("given", SETTINGS)
def test_killed_at_any_call_it_ends_with_the_same_curve_and_weights(
    tmp_path: Path, recorders: Callable[..., Any], given: dict[str, Any]
) -> None:
    whole = recorders()
    unbroken = _run(_job(tmp_path / "unbroken", whole, **given))
    assert len(unbroken.state.history["train/loss"]) == unbroken.state.epoch > 2
    for stop_at in range(1, whole.calls + 1, 3):
        folder = tmp_path / str(stop_at)
        with pytest.raises(KeyboardInterrupt):
            _run(_job(folder, recorders(stop_at=stop_at), **given))
        _same(_run(_job(folder, recorders(), attempt=2, **given)), unbroken)


def test_killed_again_and_again_and_with_a_broken_newest_checkpoint(
    tmp_path: Path, recorders: Callable[..., Any]
) -> None:
    given = {**SETTINGS[2], "early_stopping": None}
    unbroken = _run(_job(tmp_path / "unbroken", recorders(), **given))
    folder = tmp_path / "broken"
    for attempt in range(1, 5):
        with pytest.raises(KeyboardInterrupt):
            _run(_job(folder, recorders(stop_at=8), attempt=attempt, **given))
        newest = max(folder.iterdir(), key=lambda path: path.name)
        newest.write_bytes(newest.read_bytes()[:-7] if attempt % 2 else b"\x00" * 64)
    _same(_run(_job(folder, recorders(), attempt=9, **given)), unbroken)


def test_a_run_that_had_ended_trains_no_more(tmp_path: Path, recorders: Callable[..., Any]) -> None:
    first = _run(_job(tmp_path, recorders(), **SETTINGS[0]))
    again = recorders()
    _same(_run(_job(tmp_path, again, attempt=2, **SETTINGS[0])), first)
    assert again.points == []


def test_the_seed_decides(tmp_path: Path, recorders: Callable[..., Any]) -> None:
    runs = [_run(_job(tmp_path / str(n), recorders(), seed=seed)) for n, seed in enumerate((1, 1, 2))]
    _same(runs[0], runs[1])
    assert runs[0].state.history != runs[2].state.history


def test_what_is_reported_each_epoch(tmp_path: Path, recorder: Any) -> None:
    loop = _run(_job(tmp_path, recorder, epochs=3, learning_rate=0.02))
    assert [step for step, _ in recorder.points] == [1, 2, 3]
    names = {"train/loss", "validation/loss", "validation/accuracy", "learning_rate"}
    assert all(set(values) == names for _, values in recorder.points)
    assert recorder.progressed[-1][:2] == (3, 3)
    assert loop.state.history["learning_rate"] == [[1, 0.02], [2, 0.02], [3, 0.02]]


@pytest.mark.parametrize("classes", [3, None])
def test_it_learns(tmp_path: Path, recorder: Any, classes: int | None) -> None:
    loop = _run(_job(tmp_path, recorder, classes=classes, epochs=25, learning_rate=0.02))
    losses = [value for _, value in loop.state.history["validation/loss"]]
    assert losses[-1] < losses[0] * 0.5
    if classes is None:
        assert loop.state.history["validation/rmse"][-1][1] < 12  # in the target's unit; the deviation is 22


def test_early_stopping_keeps_the_best_epochs_weights(tmp_path: Path, recorder: Any) -> None:
    loop = _run(_job(tmp_path, recorder, epochs=200, learning_rate=0.3, early_stopping={"patience": 3}))
    losses = [value for _, value in loop.state.history["validation/loss"]]
    assert loop.state.epoch < 200
    assert loop.state.stop.best_epoch == loop.state.epoch - 3 == int(np.argmin(losses)) + 1
    assert all(torch.equal(v, loop.best[n]) for n, v in loop.module.state_dict().items())


def test_it_stops_at_a_training_loss(tmp_path: Path, recorder: Any) -> None:
    loop = _run(_job(tmp_path, recorder, epochs=200, learning_rate=0.02, stop_at_loss=0.6))
    losses = [value for _, value in loop.state.history["train/loss"]]
    assert losses[-1] <= 0.6 < min(losses[:-1])


def test_a_loss_that_is_not_finite_says_what_to_lower(tmp_path: Path, recorder: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"diverged; came: learning_rate 100.*try learning_rate 10, or clip"
    ):
        _run(_job(tmp_path, recorder, classes=None, optimizer="sgd", learning_rate=100.0))


def test_a_cancel_is_heard_between_batches(tmp_path: Path, recorder: Any) -> None:
    def check() -> None:
        raise Cancelled("the run was cancelled")

    recorder.check = check
    with pytest.raises(Cancelled):
        _run(_job(tmp_path, recorder))
    assert recorder.points == []


def test_epochs_follow_the_rows_where_none_are_given(tmp_path: Path, recorder: Any) -> None:
    job = _job(tmp_path, recorder, epochs=None, batch_size=1)
    module = job.net.build(job.config, job.shape)
    loop = Loop(job=job, module=module, checkpoints=Checkpoints(tmp_path, 1))
    assert loop.epochs == 33  # 3,000 steps of 90


def test_the_weights_are_those_of_a_plain_loop(tmp_path: Path, recorder: Any) -> None:
    """The same rows in the same order through torch's own optimizer, without anything of ours around it."""
    job = _job(tmp_path, recorder, epochs=2, optimizer="adamw", weight_decay=0.1, learning_rate=0.01)
    found = _run(job)
    torch.manual_seed(0)
    module = job.net.build(job.config, job.shape)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.1)
    for epoch in (1, 2):
        random = np.random.default_rng([0, epoch])
        torch.manual_seed(int(random.integers(2**63)))
        order = random.permutation(90)
        for start in range(0, 90, 16):
            rows = order[start : start + 16]
            loss = torch.nn.functional.cross_entropy(
                module(torch.from_numpy(job.train.inputs["features"][rows])),
                torch.from_numpy(job.train.targets["target"][rows]),
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for name, value in module.state_dict().items():
        assert torch.allclose(value, found.module.state_dict()[name], atol=1e-6), name
