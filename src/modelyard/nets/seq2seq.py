"""What nets share that write a text for one they have read. Imported by `build` functions only: torch is needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from modelyard.nets.contract import Decoding, Shape
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.types.decoder import State

functional = nn.functional
LENGTHS = State(name="memory_lengths", kind="constant", shape=(), datatype="INT64")
"""Tokens of each row's source."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Of the data: `vocabulary` tokens of both languages; most tokens of a source and of an answer; the tokens that
    fill up a row, begin an answer and end a text."""

    vocabulary: int
    source: int
    context: int
    pad: int
    start: int
    end: int

    @classmethod
    def of(cls, shape: Shape) -> Self:
        """As the task translation fitted it."""
        return cls(**{name: int(shape.preprocessing[name]) for name in cls.__dataclass_fields__})


class Seq2SeqModule(nn.Module):
    """A module that gives logits [rows, n, vocabulary] of (source, tokens), each int64 [rows, n] filled up with
    `texts.pad` at the right."""

    def __init__(self, texts: Texts, label_smoothing: float) -> None:
        super().__init__()
        self.texts, self.label_smoothing = texts, label_smoothing

    def loss(
        self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], player: str = ""
    ) -> dict[str, Tensor]:
        """Nats a token; smoothed in training alone."""
        logits = self(inputs["source"], inputs["tokens"])
        return {
            "loss": functional.cross_entropy(
                logits.flatten(0, 1).float(),
                targets["next"].flatten(),
                ignore_index=self.texts.pad,
                label_smoothing=self.label_smoothing if self.training else 0.0,
            )
        }

    def lengths(self, source: Tensor) -> Tensor:
        """[rows]."""
        return (source != self.texts.pad).sum(dim=1)

    def decoded(self, step: nn.Module, encode: nn.Module, state: tuple[State, ...], chunk: int) -> Decoding:
        """With what all of them have."""
        texts = self.texts
        return Decoding(
            step=step,
            encode=encode,
            state=state,
            context=texts.context,
            source=texts.source,
            vocabulary=texts.vocabulary,
            start=texts.start,
            ends=(texts.end,),
            chunk=chunk,
        )


def present(lengths: Tensor, places: int) -> Tensor:
    """Which of so many places a row has, bool [rows, places]."""
    return torch.arange(places, device=lengths.device) < lengths[:, None]
