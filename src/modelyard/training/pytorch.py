"""PyTorch: builds the net, runs the loop, exports."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.nets.layers import nn, torch
from modelyard.packages import golden as golden_rows
from modelyard.tasks.contract import Array, Examples
from modelyard.training import devices, pruning
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.job import History, Job, Saved
from modelyard.training.loop import Loop
from modelyard.training.objective import Objective
from modelyard.training.torch_export import to_onnx
from modelyard.types.package import NetRef
from modelyard.types.report import Exhibit

WEIGHTS: Final = "weights.safetensors"


def fit(job: Job) -> "FittedModule":
    """Train, going on from a checkpoint where there is one. The seed decides all of it on one machine."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    # CUDA has operations without a deterministic form (CTC's gradient): there it warns, here it would refuse.
    torch.use_deterministic_algorithms(True, warn_only=devices.chosen(job.training.device).type != "cpu")
    try:
        torch.manual_seed(job.training.seed)
        module = job.net.build(job.config, job.shape)
        if hasattr(module, "begin"):
            module.begin()
        if hasattr(module, "material"):
            train, validation = module.material(job.train, job.validation)
            job = dataclasses.replace(job, train=train, validation=validation)
        loop = Loop(job=job, module=module, checkpoints=Checkpoints(job.checkpoints, job.attempt))
        loop.run()
    finally:
        torch.use_deterministic_algorithms(deterministic)
    fitted = FittedModule(loop.objective, loop.state.history)
    fitted.kept_epoch = loop.state.stop.best_epoch if loop.best else None
    fitted.may_go_on = loop.state.epoch >= loop.epochs
    if job.training.pruning is not None:
        fitted.exhibits = (pruning.exhibit(module),)
    loop.sketches.draw(loop.state.epoch)
    if loop.sketches.kept:
        shown = job.task.sketched(loop.sketches.by_epoch(), loop.sketches.rows, job.labels)
        fitted.exhibits = (*fitted.exhibits, *shown)
    return fitted


class FittedModule:
    """See `job.Fitted`."""

    kept_epoch: int | None = None
    may_go_on: bool = False
    exhibits: tuple[Exhibit, ...] = ()

    def __init__(self, objective: Objective, history: History) -> None:
        self._job, self.objective = objective.job, objective
        self.adversarial = len(objective.players) > 1
        self._module: nn.Module = objective.module.eval()
        self.history = history

    def outputs(self, examples: Examples) -> dict[str, Array]:
        return self.objective.outputs(examples)

    def save(self, folder: Path, golden: Sequence[Examples]) -> Saved:
        from safetensors.torch import save_file

        save_file({n: v.contiguous() for n, v in self._module.state_dict().items()}, folder / WEIGHTS)
        config: dict[str, Any] = msgspec.to_builtins(self._job.config)
        net = NetRef(name=self._job.net.name, framework="pytorch", config=config, weights=WEIGHTS)
        if hasattr(self._module, "decoding"):
            return self._save_decoder(folder, golden, net)
        to_onnx(self.objective, golden[0], folder / "model.onnx")
        return Saved(
            formats={"onnx": "model.onnx"},
            net=net,
            golden=golden_rows.write_sets(
                folder, [(self._job.engine_inputs(rows), self.outputs(rows)) for rows in golden]
            ),
            libraries=("torch", "onnx", "onnxscript"),
        )

    def _save_decoder(self, folder: Path, golden: Sequence[Examples], net: NetRef) -> Saved:
        """Of a net that answers step by step: what the decoding engine opens, and a Hugging Face folder where the
        net has such a form."""
        from modelyard.training import decoder_export, hugging_face_folder

        formats, replies = decoder_export.write(self._module, folder, golden)
        if hasattr(self._module, "hugging_face"):
            formats |= hugging_face_folder.write(self._module, folder)
        return Saved(formats=formats, net=net, replies=replies, libraries=("torch", "onnx", "tokenizers"))
