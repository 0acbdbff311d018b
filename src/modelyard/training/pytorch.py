"""PyTorch: builds the net, runs the loop, exports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.nets.layers import nn, torch
from modelyard.packages import golden as golden_rows
from modelyard.tasks.contract import Array
from modelyard.training import optimizers
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.job import History, Job, Saved
from modelyard.training.loop import Loop, answers
from modelyard.training.torch_export import to_onnx
from modelyard.types.package import NetRef

WEIGHTS: Final = "weights.safetensors"
_ANSWERED: Final = 1024  # rows of a batch outside of training


def fit(job: Job) -> "FittedModule":
    """Train, going on from a checkpoint where there is one. The seed decides all of it on one machine."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        torch.manual_seed(job.training.seed)
        module = job.net.build(job.config, job.shape)
        optimizer = optimizers.create(module.parameters(), job.training)
        loop = Loop(
            job=job, module=module, optimizer=optimizer, checkpoints=Checkpoints(job.checkpoints, job.attempt)
        )
        loop.run()
    finally:
        torch.use_deterministic_algorithms(deterministic)
    return FittedModule(loop)


class FittedModule:
    """See `job.Fitted`."""

    def __init__(self, loop: Loop) -> None:
        self._job = loop.job
        self._module: nn.Module = loop.module.eval()
        self.history: History = loop.state.history
        self.kept_epoch: int | None = loop.state.stop.best_epoch if loop.best else None
        self.may_go_on: bool = loop.state.epoch >= loop.epochs

    def outputs(self, x: Array) -> Mapping[str, Array]:
        with torch.inference_mode():
            parts = [
                self._module(torch.from_numpy(x[start : start + _ANSWERED]))
                for start in range(0, len(x), _ANSWERED)
            ]
            return answers(torch.cat(parts), self._job)

    def save(self, folder: Path, golden: Array) -> Saved:
        from safetensors.torch import save_file

        save_file({n: v.contiguous() for n, v in self._module.state_dict().items()}, folder / WEIGHTS)
        to_onnx(self._module, self._job, folder / "model.onnx")
        config: dict[str, Any] = msgspec.to_builtins(self._job.config)
        return Saved(
            formats={"onnx": "model.onnx"},
            net=NetRef(name=self._job.net.name, framework="pytorch", config=config, weights=WEIGHTS),
            golden=golden_rows.write(folder, {self._job.shape.input.name: golden}, self.outputs(golden)),
            libraries=("torch", "onnx", "onnxscript"),
        )
