"""How surprised a model is by texts: the loss of each document's counted tokens, in nats."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from modelyard.training.finetune_examples import Example
from modelyard.training.packing import IGNORED, Batch, lay_out

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """Of each document: the sum of its tokens' losses in nats, and how many tokens that are. Both [documents]."""

    loss: Floats
    tokens: Floats

    @property
    def mean(self) -> float:
        """Nats a token; its exp is the perplexity."""
        return float(self.loss.sum() / self.tokens.sum())


def surprise(
    model: Any, examples: Sequence[Example], tokens: int, pad: int, check: Callable[[], None]
) -> Surprise:
    """Each document alone, as many in a batch as `tokens` hold. `check` is called between batches and may raise."""
    loss, counted = np.zeros(len(examples)), np.zeros(len(examples))
    training = model.training
    model.eval()
    with torch.inference_mode():
        for numbers in _batches(examples, tokens):
            check()
            batch = lay_out([[examples[n]] for n in numbers], pad)
            losses = token_losses(model, batch, packed=False)
            loss[numbers] = losses.sum(dim=1, dtype=torch.float64).cpu().numpy()
            counted[numbers] = (batch.labels != IGNORED).sum(axis=1)
    model.train(training)
    return Surprise(loss=loss, tokens=counted)


def token_losses(model: Any, batch: Batch, packed: bool) -> Tensor:
    """The loss of each token [rows, tokens] float32, 0 where it does not count.

    `packed`: the model is told where documents begin. Without it a row holds one document, and what comes after it
    cannot be seen from it.
    """
    labels = torch.from_numpy(batch.labels).to(model.device)
    logits = logits_of(model, batch, packed)
    flat = functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view(labels.shape)


def logits_of(model: Any, batch: Batch, packed: bool) -> Tensor:
    """[rows, tokens, vocabulary]."""
    ids = torch.from_numpy(batch.ids).to(model.device)
    more = {"position_ids": torch.from_numpy(batch.positions).to(model.device)} if packed else {}
    logits: Tensor = model(input_ids=ids, use_cache=False, **more).logits
    return logits


def _batches(examples: Sequence[Example], tokens: int) -> Iterator[list[int]]:
    """Numbers of documents of like lengths."""
    numbers: list[int] = []
    for number in sorted(range(len(examples)), key=lambda n: (len(examples[n]), n)):
        if numbers and (len(numbers) + 1) * len(examples[number]) > tokens:
            yield numbers
            numbers = []
        numbers.append(number)
    if numbers:
        yield numbers
