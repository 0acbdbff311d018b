"""Our training loop against the same loop written by hand in PyTorch. Writes results/training_speed.json.

The Fashion-MNIST cnn of the default recipe, the same net, data, batches and optimizer in both; one epoch
each in turn, so that a busy machine slows both. Ours also reports, evaluates the validation split and writes
a checkpoint each epoch; the hand-written loop evaluates too, because nobody trains without looking, and
reports and writes nothing.

Run: python benchmarks/training_speed.py [--rows 20000] [--repeats 7] [--threads 1]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import torch
from torch.nn import functional

from modelyard import datasets, nets, tasks, training
from modelyard.nets import Shape
from modelyard.tasks.contract import Examples
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.job import Job
from modelyard.training.loop import Loop

SEED, BATCH, RATE, DECAY = 0, 128, 0.003, 0.01
GOAL = 1.05


class Silent:
    """A Reporter that says nothing."""

    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        job = _job(Path(folder), given.rows, given.repeats + 1)
        seconds = _measure(job, given.repeats)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = statistics.median(o / h for o, h in zip(seconds["ours"], seconds["by hand"], strict=True))
    print(f"an epoch of {given.rows} rows: {medians}, ours / by hand {ratio:.3f} (goal <= {GOAL})")
    result = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rows": given.rows,
        "seconds": seconds,
        "median_seconds": medians,
        "median_ratio": ratio,
        "goal": GOAL,
        "reached": ratio <= GOAL,
    }
    print("written:", machine.write("training_speed", result, seed=SEED).name)
    return 0 if ratio <= GOAL else 1


def _measure(job: Job, repeats: int) -> dict[str, list[float]]:
    """Seconds of each epoch, the two in turn and each first in every other one; the first epoch is not
    counted."""
    ours, by_hand = _Ours(job), _ByHand(job)
    seconds: dict[str, list[float]] = {"ours": [], "by hand": []}
    for epoch in range(1, repeats + 2):
        pair = [("ours", ours), ("by hand", by_hand)]
        for name, loop in pair if epoch % 2 else pair[::-1]:
            started = time.perf_counter()
            loop.epoch(epoch)
            if epoch > 1:
                seconds[name].append(time.perf_counter() - started)
    return seconds


class _Ours:
    def __init__(self, job: Job) -> None:
        torch.manual_seed(SEED)
        module = job.net.build(job.config, job.shape)
        checkpoints = Checkpoints(job.checkpoints, 1)
        self.loop = Loop(job=job, module=module, checkpoints=checkpoints)

    def epoch(self, number: int) -> None:
        torch.use_deterministic_algorithms(True)
        self.loop._epoch(number)
        self.loop.checkpoints.write(self.loop._checkpoint())
        torch.use_deterministic_algorithms(False)


class _ByHand:
    """What a person would write: nothing but the loop."""

    def __init__(self, job: Job) -> None:
        torch.manual_seed(SEED)
        self.net = job.net.build(job.config, job.shape)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=RATE, weight_decay=DECAY)
        self.x, self.y = _tensors(job.train)
        assert job.validation is not None
        self.vx, self.vy = _tensors(job.validation)

    def epoch(self, number: int) -> None:
        self.net.train()
        for rows in torch.randperm(len(self.y)).split(BATCH):
            loss = functional.cross_entropy(self.net(self.x[rows]), self.y[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.net.eval()
        with torch.no_grad():
            outputs = torch.cat([self.net(x) for x in self.vx.split(1024)])
            float((outputs.argmax(dim=1) == self.vy).float().mean())


def _tensors(examples: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(examples.inputs["image"]), torch.from_numpy(examples.targets["target"])


def _job(folder: Path, rows: int, epochs: int) -> Job:
    datasets.ingest([], datasets.IngestOptions(builtin="fashion-mnist"), folder / "data", Silent())
    dataset = datasets.open_dataset(folder / "data")
    task, net = tasks.load("image-classification"), nets.load("cnn")
    schema, labels = dataset.manifest.schema, dataset.manifest.class_names
    columns = {name: column[:rows] for name, column in dataset.columns("train").items()}
    held = {name: column[:2000] for name, column in dataset.columns("validation").items()}
    preprocessing = task.fit({"image": columns["image"]}, schema, {})
    tensors = task.tensors(preprocessing, labels)
    given = {
        "batch_size": BATCH,
        "learning_rate": RATE,
        "weight_decay": DECAY,
        "epochs": epochs,
        "seed": SEED,
    }
    recipe = training.parse_recipe(
        {
            "task": task.name,
            "name": "speed",
            "data": "fashion-mnist",
            "training": {**given, "schedule": "constant"},
        }
    )

    def split(part: dict[str, Any]) -> Examples:
        x = task.decode({"image": part["image"]}, preprocessing)["image"]
        return Examples(inputs={"image": x}, targets={"target": task.targets(part["label"], labels)})

    return Job(
        task=task,
        net=net,
        config=net.config(),
        training=recipe.training,
        shape=Shape(inputs=tensors.inputs, outputs=tensors.outputs, preprocessing=preprocessing),
        train=split(columns),
        validation=split(held),
        digest="speed",
        checkpoints=folder / "checkpoints",
        attempt=1,
        reporter=Silent(),
    )


if __name__ == "__main__":
    sys.exit(main())
