"""Augmentation: changes of training rows that leave their meaning as it is. One file a kind.

To add one: write `augment/<name>.py` with the struct of its options and what does it (`contract.Augmenter`), and
add it to `Augmentation` and to KINDS.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.training.augment import audio, images, text
from modelyard.training.augment.contract import Augmenter
from modelyard.types.report import Exhibit

if TYPE_CHECKING:
    from modelyard.training.job import Job

__all__ = ["KINDS", "Augmentation", "Augmenter", "exhibits", "load", "named", "random_of"]

Augmentation = images.Images | text.Text | audio.Audio
KINDS: Final[dict[type[Any], type[Any]]] = {
    images.Images: images.ImageAugmenter,
    text.Text: text.TextAugmenter,
    audio.Audio: audio.AudioAugmenter,
}
"""What a recipe says -> what does it."""

_SHOWN: Final = 8
_DRAWS: Final = 4


def named(given: object, kind: str, where: str) -> dict[str, Any]:
    """A recipe's options with the `name` of their kind, which a task knows for itself. Raises InvalidInput."""
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{where} must be a mapping", came=given)
    if not (kind or given.get("name")):
        names = [struct.__struct_config__.tag for struct in KINDS]
        raise InvalidInput(f"{where} needs a name: the task has no augmentation of its own", allowed=names)
    return {"name": kind, **given}


def load(job: "Job") -> Augmenter | None:
    """What the recipe asks for, or None. Raises InvalidInput where the task's rows cannot be changed so."""
    given = getattr(job.training, "augmentation", None)
    if given is None:
        return None
    augmenter: Augmenter = KINDS[type(given)](given, job)
    return augmenter


def random_of(seed: int, epoch: int, batch: int) -> np.random.Generator:
    """The draws of one batch, the same whether a run was killed before it or not. Both count from 1."""
    return np.random.default_rng([seed, epoch, batch])


def exhibits(job: "Job") -> tuple[Exhibit, ...]:
    """A few training rows as they are, and as drawn a few times."""
    augmenter = load(job)
    if augmenter is None:
        return ()
    rows = job.train.part(_SHOWN)
    drawn = [augmenter(rows, random_of(job.training.seed, 1, 1 + draw)) for draw in range(_DRAWS)]
    return (augmenter.exhibit(rows, drawn),)
