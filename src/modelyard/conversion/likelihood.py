"""An example where none was given: the data set's test rows, scaled as the model knows them best.

A net that was trained on pixels in 0..1 and is fed 0..255 answers with full confidence and often wrongly: the
likelihood of the true classes tells the two apart.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from modelyard.conversion.contract import Origin
from modelyard.packages.golden import Array

_ROWS: Final = 256
_SCALES: Final = ((0.0, 1.0), (0.0, 255.0), (127.5, 127.5))  # mean, std
_BETTER: Final = 0.05  # nats a row by which the best must beat the next
_SKILL: Final = 2.0  # times the accuracy of guessing


def likely_example(origin: Origin, shape: tuple[int, ...], ask: Callable[[Array], Array]) -> Array | None:
    """Rows of images in a model's own shape and scale, or None where no scale stands out.

    Args:
        shape: of one row of the model's input, without the batch.
        ask: the model's answers to a batch, [rows, classes] or [rows, 1].
    """
    if origin.rows is None or origin.targets is None or origin.rows.dtype != np.uint8:
        return None
    rows, targets = origin.rows[:_ROWS], origin.targets[:_ROWS]
    laid = _laid_out(rows, shape)
    if laid is None or targets.dtype.kind not in "iu" or len(rows) == 0:
        return None
    made = [((laid - mean) / std).astype(np.float32) for mean, std in _SCALES]
    found = [_fit(ask(candidate), targets) for candidate in made]
    if any(one is None for one in found):
        return None
    fits = [one for one in found if one is not None]
    order = sorted(range(len(fits)), key=lambda k: fits[k][0])
    loss, accuracy, guessed = fits[order[0]]
    if fits[order[1]][0] - loss < _BETTER or accuracy < min(_SKILL * guessed, (1 + guessed) / 2):
        return None
    return made[order[0]]


def _laid_out(rows: Array, shape: tuple[int, ...]) -> Array | None:
    """Pixels as float64 in the shape of the model's row, channels last or first."""
    pixels = rows.astype(np.float64)
    if int(np.prod(pixels.shape[1:])) != int(np.prod(shape)):
        return None
    if pixels.ndim == 4 and len(shape) == 3 and pixels.shape[1:] != shape:
        pixels = pixels.transpose(0, 3, 1, 2)
    return pixels.reshape(len(pixels), *shape)


def _fit(answers: Array, targets: Array) -> tuple[float, float, float] | None:
    """Mean negative log-likelihood in nats, accuracy, and that of the most frequent class."""
    probabilities = _probabilities(np.asarray(answers, np.float64).reshape(len(targets), -1))
    if targets.max() >= probabilities.shape[1]:
        return None
    true = np.clip(probabilities[np.arange(len(targets)), targets], 1e-12, 1)
    accuracy = float((probabilities.argmax(axis=1) == targets).mean())
    return float(-np.log(true).mean()), accuracy, float(np.bincount(targets).max() / len(targets))


def _probabilities(answers: Array) -> Array:
    inside = bool(((answers >= 0) & (answers <= 1)).all())
    if answers.shape[1] == 1:
        positive = answers if inside else 1 / (1 + np.exp(-np.clip(answers, -700, 700)))
        return np.concatenate([1 - positive, positive], axis=1)
    if inside and np.allclose(answers.sum(axis=1), 1, atol=1e-3):
        return answers
    powers = np.exp(answers - answers.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
