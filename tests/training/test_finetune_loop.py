from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.errors import InvalidInput
from modelyard.training.finetune_base import open_base
from modelyard.training.finetune_examples import Example
from modelyard.training.finetune_loop import Lesson, TuneLoop
from modelyard.training.finetune_model import prepare
from modelyard.training.finetune_recipe import FinetuneTraining, parse_finetune
from tiny_language_model import write_package

pytestmark = pytest.mark.slow

RECIPE = {"task": "text-generation", "name": "a", "data": "b", "base": "c"}


def training(**said: Any) -> FinetuneTraining:
    given: dict[str, Any] = {
        "rank": 4, "dropout": 0.1, "epochs": 2, "batch_size": 2, "accumulation": 2, "learning_rate": 0.01,
        "checkpoint_every": 2,
    }  # fmt: skip
    if said.get("method") == "full":
        given = {key: value for key, value in given.items() if key not in ("rank", "dropout")}
    return parse_finetune({**RECIPE, "training": given | said}).training


def documents(count: int) -> list[Example]:
    rng = np.random.default_rng(1)
    made = []
    for _ in range(count):
        ids = rng.integers(3, 40, int(rng.integers(4, 20)))
        counted = rng.random(len(ids)) < 0.7
        counted[0], counted[-1] = False, True
        made.append(Example(ids=ids, counted=counted))
    return made


@pytest.fixture
def loop(tmp_path: Path, recorders: Any) -> Callable[..., TuneLoop]:
    """`loop(reporter, training, checkpoints=, attempt=)`: a training of 22 documents, made anew."""
    manifest = write_package(tmp_path / "base")

    def made(reporter: Any, given: FinetuneTraining, checkpoints: str = "a", attempt: int = 1) -> TuneLoop:
        torch.use_deterministic_algorithms(True)
        docs = documents(26)
        lesson = Lesson(
            rows=[[document] for document in docs[:22]],
            held_out=docs[22:],
            training=given,
            pad=0,
            digest="ab",
            checkpoints=tmp_path / checkpoints,
            attempt=attempt,
            reporter=reporter,
        )
        return TuneLoop(lesson=lesson, model=prepare(open_base(tmp_path / "base", manifest, "tiny"), given))

    return made


def weights(loop: TuneLoop) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in loop.trained.values()])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_run_goes_on_with_the_same_curve(loop: Any, recorders: Any, method: str) -> None:
    given = training(method=method, early_stopping={"patience": 50}, evaluate_every=3)
    whole = loop(recorders(), given)
    whole.run()
    assert whole.steps == 12
    calls = whole.lesson.reporter.calls
    killed = 0
    for attempt, at in enumerate((calls // 4, calls // 3, calls // 2), 1):
        broken = loop(recorders(stop_at=at), given, "b", attempt)
        with pytest.raises(KeyboardInterrupt):
            broken.run()
        killed += 1
    assert killed == 3
    again = loop(recorders(), given, "b", 4)
    again.run()
    assert again.lesson.reporter.calls < calls
    assert again.state.history == whole.state.history
    assert torch.equal(weights(again), weights(whole))


def test_the_curve_falls_and_is_told_as_it_is_kept(loop: Any, recorders: Any) -> None:
    reporter = recorders()
    made = loop(reporter, training(method="full", epochs=6, dropout=0.0))
    made.run()
    looks = made.state.history["validation/perplexity"]
    assert [step for step, _ in looks] == [0, 6, 12, 18, 24, 30, 36]
    assert looks[-1][1] < looks[0][1]
    assert [step for step, _ in made.state.history["train/loss"]] == list(range(1, 37))
    told = [[step, values["train/loss"]] for step, values in reporter.points if "train/loss" in values]
    assert told == made.state.history["train/loss"]
    done, total, said = reporter.progressed[-1]
    assert (done, total) == (36, 36)
    assert "step 36 of 36" in said


def test_a_step_is_the_mean_over_its_counted_tokens(loop: Any, recorders: Any) -> None:
    """However its sequences lie in batches: 4 in one, or 1 and 1 and 1 and 1."""
    one = loop(recorders(), training(dropout=0.0, batch_size=4, accumulation=1), "a")
    four = loop(recorders(), training(dropout=0.0, batch_size=1, accumulation=4), "b")
    for made in (one, four):
        made._step(1)
    assert one.state.history["train/loss"][0][1] == pytest.approx(
        four.state.history["train/loss"][0][1], rel=1e-5
    )
    torch.testing.assert_close(weights(one), weights(four), rtol=1e-3, atol=1e-5)


def test_the_rate_rises_and_then_falls(loop: Any, recorders: Any) -> None:
    made = loop(recorders(), training(schedule={"name": "cosine", "warmup": 0.25, "final": 0.1}))
    rates = [made._rate(step) for step in range(1, made.steps + 1)]
    assert rates[0] == pytest.approx(0.01 / 3)
    assert max(rates) == rates[2] == pytest.approx(0.01)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 0.001 < rates[-1] < 0.002


def test_gradients_are_clipped(loop: Any, recorders: Any) -> None:
    made = loop(recorders(), training(clip_norm=1e-3))
    made._step(1)
    total = torch.stack([p.grad.norm() for p in made.trained.values()]).norm()
    assert float(total) <= 1.001e-3
    assert made.state.history["gradient_norm"][0][1] > 1e-3


def test_early_stopping_keeps_the_best_look(loop: Any, recorders: Any) -> None:
    given = training(
        method="full", learning_rate=0.5, epochs=5, evaluate_every=2, early_stopping={"patience": 2}
    )
    made = loop(recorders(), given)
    made.run()
    looks = [value for _, value in made.state.history["validation/loss"]]
    assert made.state.step < made.steps
    assert made.state.stop.best == min(looks)
    made._look()
    assert made.state.history["validation/loss"][-1][1] == pytest.approx(min(looks), rel=1e-6)


def test_steps_may_be_limited(loop: Any, recorders: Any) -> None:
    made = loop(recorders(), training(steps=3, epochs=100))
    made.run()
    assert (made.steps, made.state.step) == (3, 3)
    assert [step for step, _ in made.state.history["validation/loss"]] == [0, 3]


def test_a_loss_that_is_not_finite_says_what_to_try(loop: Any, recorders: Any) -> None:
    made = loop(recorders(), training(method="full", learning_rate=1.0, clip_norm=None, epochs=1))
    with torch.no_grad():
        next(iter(made.trained.values())).fill_(float("nan"))
    with pytest.raises(
        InvalidInput, match=r"training diverged; came: learning_rate 1,.*try learning_rate 0\.1"
    ):
        made._step(1)


def test_a_checkpoint_of_another_recipe_is_not_used(loop: Any, recorders: Any) -> None:
    made = loop(recorders(), training(steps=4))
    made.run()
    other = loop(recorders(), training(steps=4))
    other.lesson = Lesson(**{**vars(other.lesson), "digest": "other"})
    other._resume()
    assert other.state.step == 0
