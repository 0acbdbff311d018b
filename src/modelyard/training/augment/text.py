"""Changes of texts, as token numbers int64 [rows, tokens], padded at the end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Array, Examples
from modelyard.tasks.texts import TENSORS, open_tokenizer
from modelyard.types.report import Exhibit

if TYPE_CHECKING:
    from modelyard.training.job import Job

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Mask = npt.NDArray[np.bool_]
_IDS: Final = "input_ids"
_SHOWN: Final = 300  # letters of a text on the page


class Text(msgspec.Struct, frozen=True, kw_only=True, tag_field="name", tag="text"):
    """
    word_dropout  the share of tokens that are left out (Iyyer et al. 2015, Deep Unordered Composition Rivals
                  Syntactic Methods, section 3)
    swap          the share of tokens that change places with the next one (Wei and Zou 2019, EDA, with neighbours)

    Special tokens and padding stay where they are, and of each text at least one token.
    """

    word_dropout: Share = 0.0
    swap: Share = 0.0


class TextAugmenter:
    """See `contract.Augmenter`."""

    def __init__(self, given: Text, job: "Job") -> None:
        if _IDS not in job.train.inputs:
            raise InvalidInput(
                "augmentation of text needs token numbers", came=sorted(job.train.inputs), allowed=[_IDS]
            )
        preprocessing = job.shape.preprocessing
        self._given, self._job = given, job
        self._fill = {_IDS: preprocessing["pad_id"], "token_type_ids": preprocessing.get("pad_type_id", 0)}
        self._special = _special(self._tokenizer())

    def __call__(self, batch: Examples, random: np.random.Generator) -> Examples:
        ids = batch.inputs[_IDS]
        used = np.arange(ids.shape[1]) < _lengths(batch)[:, None]
        free = used & ~np.isin(ids, self._special)
        places = swapped(free, self._given.swap, random)
        kept = used & ~dropped(free, self._given.word_dropout, random)
        lengths = kept.sum(axis=1)
        first = np.argsort(~kept, axis=1, kind="stable")  # what is kept, in its order, and then the rest
        places = np.take_along_axis(places, first, axis=1)
        beyond = np.arange(ids.shape[1]) >= lengths[:, None]
        inputs = dict(batch.inputs)
        for name in inputs.keys() & set(TENSORS):
            values = np.take_along_axis(inputs[name], places, axis=1)
            values[beyond] = self._fill.get(name, 0)
            inputs[name] = values
        ragged = {n: lengths if n in TENSORS else v for n, v in batch.ragged.items()}
        return Examples(inputs=inputs, targets=batch.targets, ragged=ragged)

    def exhibit(self, rows: Examples, drawn: Sequence[Examples]) -> Exhibit:
        """A row for each text: as it is, then the first draws."""
        tokenizer = self._tokenizer()
        parts = [rows, *drawn[:2]]
        texts = [tuple(_read(tokenizer, part, row) for part in parts) for row in range(len(rows))]
        names = ("as it is", *(f"draw {n}" for n in range(1, len(parts))))
        return Exhibit(title="Augmented training rows", header=names, rows=tuple(texts))

    def _tokenizer(self) -> Any:
        assert self._job.folder is not None
        return open_tokenizer(self._job.folder / str(self._job.shape.preprocessing["tokenizer"]))


def swapped(free: Mask, share: float, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Where each place's token comes from, int64 [rows, tokens]: some free neighbours change places."""
    places = np.broadcast_to(np.arange(free.shape[1]), free.shape).copy()
    if not share:
        return places
    chosen = random.random(free.shape) < share
    chosen[:, :-1] &= free[:, :-1] & free[:, 1:]
    chosen[:, -1:] = False
    chosen[:, 1:] &= ~chosen[:, :-1]  # a token moves once at most
    rows, columns = np.nonzero(chosen)
    places[rows, columns], places[rows, columns + 1] = columns + 1, columns
    return places


def dropped(free: Mask, share: float, random: np.random.Generator) -> Mask:
    """Which tokens are left out: none of a text that would lose all of its free ones."""
    out = free & (random.random(free.shape) < share)
    out[(free & ~out).sum(axis=1) == 0] = False
    return out


def _lengths(batch: Examples) -> Array:
    return batch.ragged[_IDS] if _IDS in batch.ragged else batch.inputs["attention_mask"].sum(axis=1)


def _special(tokenizer: Any) -> npt.NDArray[np.int64]:
    """Numbers of tokens that stand for no text."""
    found = [number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special]
    return np.array(found, np.int64)


def _read(tokenizer: Any, part: Examples, row: int) -> str:
    ids = part.inputs[_IDS][row, : int(_lengths(part)[row])].tolist()
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
