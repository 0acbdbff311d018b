"""The answers that were wrong with the most confidence."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
KEPT: Final = 24
SHOWN: Final = 300
"""Characters of a text."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One wrong answer.

    `row` counts from 0 in its split; `pixels` is uint8 [height, width, channels] as the model saw them, or
    None for what is no image; `text` what it read, or None.
    """

    row: int
    target: str
    answer: str
    confidence: float
    pixels: Array | None = None
    text: str | None = None


class MistakeKeeper:
    """Keeps the KEPT most confident wrong answers of a classifier over batches, in bounded memory."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._heap: list[tuple[float, int, Mistake]] = []
        self._row = 0

    def add(self, arrays: Mapping[str, Array], probabilities: Array, targets: Array) -> None:
        """A batch: the task's decoded arrays, `probabilities` [rows, classes] and `targets` int64 [rows]."""
        answers = probabilities.argmax(axis=1)
        confidence = probabilities.max(axis=1)
        wrong = np.flatnonzero(answers != targets)
        for k in wrong[np.argsort(-confidence[wrong], kind="stable")][:KEPT]:
            key = (float(confidence[k]), -(self._row + int(k)))
            if len(self._heap) < KEPT or key > self._heap[0][:2]:
                mistake = Mistake(
                    row=self._row + int(k),
                    target=self._labels[targets[k]],
                    answer=self._labels[answers[k]],
                    confidence=key[0],
                    pixels=_pixels(arrays, int(k)),
                    text=_text(arrays, int(k)),
                )
                push = heapq.heappush if len(self._heap) < KEPT else heapq.heapreplace
                push(self._heap, (*key, mistake))
        self._row += len(targets)

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The most confident first; the earlier row first where they are equally so."""
        return tuple(entry[2] for entry in sorted(self._heap, key=lambda e: e[:2], reverse=True))


def _pixels(arrays: Mapping[str, Array], row: int) -> Array | None:
    image = arrays.get("image")
    return image[row].copy() if image is not None and image.ndim == 4 else None


def _text(arrays: Mapping[str, Array], row: int) -> str | None:
    """UTF-8 of which the page shows the beginning."""
    texts = arrays.get("text")
    if texts is None or texts.dtype != object or not isinstance(texts[row], bytes):
        return None
    text = str(texts[row][: 4 * SHOWN], "utf-8", "replace")
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
