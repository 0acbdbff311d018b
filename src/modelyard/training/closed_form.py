"""Modules whose buffers are found in one go: no epochs, no gradient. Saved and exported as all modules are."""

from typing import Any

from modelyard.nets.layers import torch
from modelyard.training.job import Job
from modelyard.training.objective import Objective, tensors
from modelyard.training.pytorch import FittedModule


def fit(job: Job) -> FittedModule:
    """Call the module's own `solve` with the whole training split. A killed run starts again."""
    torch.manual_seed(job.training.seed)
    job.reporter.progress(0, 1, f"solving {job.net.name} on {len(job.train)} rows")
    job.reporter.check()
    module: Any = job.net.build(job.config, job.shape)
    with torch.inference_mode():
        module.solve(tensors(job.train.inputs), tensors(job.train.targets))
    fitted = FittedModule(Objective(module, job), {})
    task = job.task
    if task.target_kind in ("class", "number"):
        splits = {"train": job.train.part(10_000), "validation": job.validation}
        values = {
            f"{name}/{task.main_metric}": task.main(fitted.outputs(split), split.targets["target"])
            for name, split in splits.items()
            if split is not None
        }
        fitted.history = {name: [[1, value]] for name, value in values.items()}
        job.reporter.metrics(1, values)
    job.reporter.progress(1, 1, "solved")
    return fitted
