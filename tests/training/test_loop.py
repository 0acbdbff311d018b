"""Training is the same whether it was killed or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.errors import Cancelled, InvalidInput
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.loop import Loop
from small_jobs import image_job, run, same, table_job

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
    {
        "accumulation": 4,
        "schedule": {"name": "constant", "warmup": 0.3},
        "label_smoothing": 0.1,
        "class_weights": "balanced",
        "precision": "bfloat16",
    },
    {"learning_rate": 0.02, "ema": 0.9, "pruning": {"sparsity": 0.8, "every": 3}},
    {"ema": 0.9, "pruning": {"sparsity": 0.5, "end": 0.5}, "early_stopping": {"patience": 1}},
]
AUGMENTED = {
    "augmentation": {
        "name": "images", "flip": 0.5, "crop": 1, "rotate": 20, "erase": 0.5, "mixup": 0.4
    }
}  # fmt: skip


@pytest.mark.parametrize("given", SETTINGS)
def test_killed_at_any_call_it_ends_with_the_same_curve_and_weights(
    tmp_path: Path, recorders: Callable[..., Any], given: dict[str, Any]
) -> None:
    whole = recorders()
    unbroken = run(table_job(tmp_path / "unbroken", whole, **given))
    assert len(unbroken.state.history["train/loss"]) == unbroken.state.epoch > 2
    for stop_at in range(1, whole.calls + 1, 5):
        folder = tmp_path / str(stop_at)
        with pytest.raises(KeyboardInterrupt):
            run(table_job(folder, recorders(stop_at=stop_at), **given))
        same(run(table_job(folder, recorders(), attempt=2, **given)), unbroken)


@pytest.mark.parametrize("given", [AUGMENTED, {**AUGMENTED, "accumulation": 2}])
def test_killed_while_it_augments_it_draws_the_same(
    tmp_path: Path, recorders: Callable[..., Any], given: dict[str, Any]
) -> None:
    whole = recorders()
    unbroken = run(image_job(tmp_path / "unbroken", whole, **given))
    plain = run(image_job(tmp_path / "plain", recorders()))
    assert unbroken.state.history["train/loss"] != plain.state.history["train/loss"]
    for stop_at in range(2, whole.calls + 1, 4):
        folder = tmp_path / str(stop_at)
        with pytest.raises(KeyboardInterrupt):
            run(image_job(folder, recorders(stop_at=stop_at), **given))
        same(run(image_job(folder, recorders(), attempt=2, **given)), unbroken)


def test_killed_again_and_again_and_with_a_broken_newest_checkpoint(
    tmp_path: Path, recorders: Callable[..., Any]
) -> None:
    given = {**SETTINGS[2], "early_stopping": None}
    unbroken = run(table_job(tmp_path / "unbroken", recorders(), **given))
    folder = tmp_path / "broken"
    for attempt in range(1, 5):
        with pytest.raises(KeyboardInterrupt):
            run(table_job(folder, recorders(stop_at=8), attempt=attempt, **given))
        newest = max(folder.iterdir(), key=lambda path: path.name)
        newest.write_bytes(newest.read_bytes()[:-7] if attempt % 2 else b"\x00" * 64)
    same(run(table_job(folder, recorders(), attempt=9, **given)), unbroken)


def test_a_run_that_had_ended_trains_no_more(tmp_path: Path, recorders: Callable[..., Any]) -> None:
    first = run(table_job(tmp_path, recorders(), **SETTINGS[0]))
    again = recorders()
    same(run(table_job(tmp_path, again, attempt=2, **SETTINGS[0])), first)
    assert again.points == []


def test_the_seed_decides(tmp_path: Path, recorders: Callable[..., Any]) -> None:
    runs = [run(table_job(tmp_path / str(n), recorders(), seed=seed)) for n, seed in enumerate((1, 1, 2))]
    same(runs[0], runs[1])
    assert runs[0].state.history != runs[2].state.history


def test_what_is_reported_each_epoch(tmp_path: Path, recorder: Any) -> None:
    loop = run(table_job(tmp_path, recorder, epochs=3, learning_rate=0.02))
    assert [step for step, _ in recorder.points] == [1, 2, 3]
    names = {"train/loss", "validation/loss", "validation/accuracy", "learning_rate"}
    assert all(set(values) == names for _, values in recorder.points)
    assert recorder.progressed[-1][:2] == (3, 3)
    assert loop.state.history["learning_rate"] == [[1, 0.02], [2, 0.02], [3, 0.02]]


@pytest.mark.parametrize("classes", [3, None])
def test_it_learns(tmp_path: Path, recorder: Any, classes: int | None) -> None:
    loop = run(table_job(tmp_path, recorder, classes=classes, epochs=25, learning_rate=0.02))
    losses = [value for _, value in loop.state.history["validation/loss"]]
    assert losses[-1] < losses[0] * 0.5
    if classes is None:
        assert loop.state.history["validation/rmse"][-1][1] < 12  # in the target's unit; the deviation is 22


def test_early_stopping_keeps_the_best_epochs_weights(tmp_path: Path, recorder: Any) -> None:
    loop = run(table_job(tmp_path, recorder, epochs=200, learning_rate=0.3, early_stopping={"patience": 3}))
    losses = [value for _, value in loop.state.history["validation/loss"]]
    assert loop.state.epoch < 200
    assert loop.state.stop.best_epoch == loop.state.epoch - 3 == int(np.argmin(losses)) + 1
    assert all(torch.equal(v, loop.best[n]) for n, v in loop.module.state_dict().items())


def test_it_stops_at_a_training_loss(tmp_path: Path, recorder: Any) -> None:
    loop = run(table_job(tmp_path, recorder, epochs=200, learning_rate=0.02, stop_at_loss=0.6))
    losses = [value for _, value in loop.state.history["train/loss"]]
    assert losses[-1] <= 0.6 < min(losses[:-1])


def test_a_loss_that_is_not_finite_says_what_to_lower(tmp_path: Path, recorder: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"diverged; came: learning_rate 100.*try learning_rate 10, or clip"
    ):
        run(table_job(tmp_path, recorder, classes=None, optimizer="sgd", learning_rate=100.0))


def test_a_cancel_is_heard_between_batches(tmp_path: Path, recorder: Any) -> None:
    def check() -> None:
        raise Cancelled("the run was cancelled")

    recorder.check = check
    with pytest.raises(Cancelled):
        run(table_job(tmp_path, recorder))
    assert recorder.points == []


def test_epochs_follow_the_rows_where_none_are_given(tmp_path: Path, recorder: Any) -> None:
    job = table_job(tmp_path, recorder, epochs=None, batch_size=1)
    module = job.net.build(job.config, job.shape)
    loop = Loop(job=job, module=module, checkpoints=Checkpoints(tmp_path, 1))
    assert loop.epochs == 33  # 3,000 steps of 90


def test_the_weights_are_those_of_a_plain_loop(tmp_path: Path, recorder: Any) -> None:
    """The same rows in the same order through torch's own optimizer, without anything of ours around it."""
    job = table_job(tmp_path, recorder, epochs=2, optimizer="adamw", weight_decay=0.1, learning_rate=0.01)
    found = run(job)
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


def test_accumulated_batches_are_one_large_batch(tmp_path: Path, recorders: Callable[..., Any]) -> None:
    """Also where the last group has fewer rows: 90 are two of 40, each in four batches, and one of 10."""
    given = {"dropout": 0.0, "learning_rate": 0.02, "clip_norm": 0.5, "class_weights": "balanced"}
    large = run(table_job(tmp_path / "large", recorders(), batch_size=40, **given))
    small = run(table_job(tmp_path / "small", recorders(), batch_size=10, accumulation=4, **given))
    assert small.steps_per_epoch == large.steps_per_epoch == 3
    for name, value in large.module.state_dict().items():
        assert torch.allclose(value, small.module.state_dict()[name], atol=1e-5), name


def test_the_average_of_the_weights_is_measured_kept_and_smoother(
    tmp_path: Path, recorders: Callable[..., Any]
) -> None:
    given = {
        "dropout": 0.0,
        "learning_rate": 0.2,
        "optimizer": "sgd",
        "momentum": 0.0,
        "batch_size": 4,
        "epochs": 12,
    }
    plain = run(table_job(tmp_path / "plain", recorders(), **given))
    averaged = run(table_job(tmp_path / "averaged", recorders(), ema=0.98, **given))
    for name in ("train/loss", "learning_rate"):  # the weights that move are the same
        assert plain.state.history[name] == averaged.state.history[name]
    assert averaged.average is not None
    for name, value in averaged.module.state_dict().items():
        assert torch.equal(value, averaged.average.values[name])

    def roughness(loop: Loop) -> float:
        losses = [value for _, value in loop.state.history["validation/loss"]]
        return float(np.abs(np.diff(losses[3:])).mean())

    assert roughness(averaged) < roughness(plain) / 2
    assert averaged.objective.evaluate(averaged.job.validation)["loss"] == pytest.approx(
        averaged.state.history["validation/loss"][-1][1]
    )


def test_a_pruned_net_has_its_sparsity_and_still_answers(tmp_path: Path, recorder: Any) -> None:
    given = {"epochs": 25, "learning_rate": 0.02, "ema": 0.9, "pruning": {"sparsity": 0.75, "every": 5}}
    loop = run(table_job(tmp_path, recorder, **given))
    shares = [value for _, value in loop.state.history["sparsity"]]
    assert shares == sorted(shares)
    assert shares[0] < 0.2 < shares[8] < shares[-1] == pytest.approx(0.75, abs=0.01)
    for name, value in loop.module.named_parameters():
        zeros = float((value == 0).float().mean())
        assert zeros == pytest.approx(0.75, abs=0.02) if value.ndim > 1 else zeros < 0.5, name
    assert loop.state.history["validation/accuracy"][-1][1] >= 0.8


def test_early_stopping_waits_until_a_net_is_as_sparse_as_asked(tmp_path: Path, recorder: Any) -> None:
    given = {"epochs": 40, "learning_rate": 0.3, "early_stopping": {"patience": 2}, "stop_at_loss": 50.0}
    loop = run(table_job(tmp_path, recorder, pruning={"sparsity": 0.9, "end": 0.5}, **given))
    assert loop.state.epoch == 20
    assert loop.state.stop.best_epoch == 20
    assert (
        float((loop.best["1.weight" if "1.weight" in loop.best else "0.weight"] == 0).float().mean()) > 0.85
    )


def test_labels_are_smoothed_in_training_alone(tmp_path: Path, recorders: Callable[..., Any]) -> None:
    """Smoothing keeps a net from being ever surer, and the loss that is watched is the plain one."""
    given = {"dropout": 0.0, "learning_rate": 0.05, "epochs": 30}
    plain = run(table_job(tmp_path / "plain", recorders(), **given))
    smooth = run(table_job(tmp_path / "smooth", recorders(), label_smoothing=0.2, **given))

    def surest(loop: Loop) -> float:
        return float(loop.objective.outputs(loop.job.train)["probabilities"].max(axis=1).mean())

    assert surest(smooth) < 0.9 < surest(plain)
    assert smooth.objective.evaluate(smooth.job.train)["loss"] < smooth.state.history["train/loss"][-1][1]


def test_weighted_classes_are_answered_more_often(tmp_path: Path, recorders: Callable[..., Any]) -> None:
    given = {"learning_rate": 0.02, "epochs": 10}
    plain = run(table_job(tmp_path / "plain", recorders(), **given))
    weighted = run(table_job(tmp_path / "weighted", recorders(), class_weights={"b": 30.0}, **given))

    def answers(loop: Loop) -> int:
        probabilities = loop.objective.outputs(loop.job.train)["probabilities"]
        return int((probabilities.argmax(axis=1) == 1).sum())

    assert answers(weighted) > answers(plain) + 10


@pytest.mark.parametrize("given", [{"label_smoothing": 0.1}, {"class_weights": "balanced"}])
def test_what_is_of_classes_is_refused_for_numbers(
    tmp_path: Path, recorder: Any, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput, match=r"does not apply: net 'mlp'"):
        run(table_job(tmp_path, recorder, classes=None, **given))


def test_bfloat16_trains_almost_the_same_and_answers_in_float32(
    tmp_path: Path, recorders: Callable[..., Any]
) -> None:
    given = {"dropout": 0.0, "learning_rate": 0.02, "epochs": 10}
    exact = run(table_job(tmp_path / "exact", recorders(), **given))
    mixed = run(table_job(tmp_path / "mixed", recorders(), precision="bfloat16", **given))
    assert {value.dtype for value in mixed.module.state_dict().values()} == {torch.float32}
    assert mixed.objective.outputs(mixed.job.train)["probabilities"].dtype == np.float32
    mine, theirs = (loop.state.history["train/loss"][-1][1] for loop in (mixed, exact))
    assert mine != theirs
    assert mine == pytest.approx(theirs, rel=0.1)


def test_progress_says_the_time_that_is_left(tmp_path: Path, recorder: Any) -> None:
    seconds = iter(range(0, 10**6, 30))
    job = table_job(tmp_path, recorder, epochs=3)
    module = job.net.build(job.config, job.shape)
    Loop(
        job=job, module=module, checkpoints=Checkpoints(tmp_path, 1), clock=lambda: float(next(seconds))
    ).run()
    texts = [text for _, _, text in recorder.progressed]
    assert texts[0] == "epoch 1 of 3"
    left = [text.rpartition(", ")[2] for text in texts[1:-1]]
    assert left == ["60 s left", "2 min left", "45 s left", "60 s left"]
    assert not texts[-1].endswith(" left")
