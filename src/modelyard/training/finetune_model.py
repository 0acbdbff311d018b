"""What is trained of a base: low-rank matrices beside its layers, or all of it; and whether it can be packed."""

from collections.abc import Sequence
from typing import Any, Final

import torch

from modelyard.errors import InvalidInput
from modelyard.training.finetune_base import Base, check_targets, is_transposed, libraries, quiet
from modelyard.training.finetune_examples import Example
from modelyard.training.finetune_recipe import FinetuneTraining
from modelyard.training.packing import lay_out
from modelyard.training.perplexity import logits_of

_PROBED: Final = 16  # tokens of a document that is looked at for leaks
_LEAK: Final = 1e-3  # of the largest logit: float32 arithmetic in another order stays far below


def prepare(base: Base, training: FinetuneTraining) -> Any:
    """The model to be trained; its parameters that are to be changed require a gradient, no others.

    LoRA (Hu et al. 2022): W x + alpha / rank * B A x, A random by the seed, B zero, so that training begins at the
    base. Raises InvalidInput for layers that the model does not have.
    """
    torch.manual_seed(training.seed)
    if training.method == "full":
        return base.model.requires_grad_(True)
    _, _, peft = libraries()
    check_targets(base.model, training.target_modules)
    named = training.target_modules
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=training.rank,
        lora_alpha=training.alpha,
        lora_dropout=training.dropout,
        target_modules="all-linear" if named is None else list(named),
        fan_in_fan_out=is_transposed(base.model),
    )
    with quiet():
        return peft.get_peft_model(base.model, config)


def trained_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    """Name -> parameter that training changes; weights that are shared stand once."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def check_packing(model: Any, examples: Sequence[Example], pad: int) -> None:
    """Whether documents that are packed side by side are answered as each alone.

    Raises InvalidInput for a model that looks across them: it has no attention that is told by positions.
    """
    parts = [Example(ids=e.ids[:_PROBED], counted=e.counted[:_PROBED]) for e in examples[:2]]
    parts = [parts[0], *parts] if len(parts) == 1 else [parts[1], *parts]
    model.eval()
    with torch.inference_mode():
        try:
            together = logits_of(model, lay_out([parts], pad), packed=True)[0]
        except TypeError:
            raise _no_packing("takes no positions") from None
        alone = torch.cat([logits_of(model, lay_out([[part]], pad), packed=False)[0] for part in parts])
    error = float((together - alone).abs().max() / alone.abs().max().clamp(min=1e-6))
    if not error <= _LEAK:
        raise _no_packing(f"logits differ by {error:.2g} of the largest")


def _no_packing(came: str) -> InvalidInput:
    return InvalidInput(
        "this architecture does not keep packed documents apart", came=came, allowed="training.packing: false"
    )
