"""Keys and values of several sequences that are computed together, each joining and leaving between two steps.

Sequences of unequal length stand at the right edge of one cache, and the attention mask hides what is left of them.
What a position computes depends on its own row alone, so that a sequence has the answer that it has alone, up to
the rounding of products of other shapes. Not every model keeps to that (states of recurrent layers, positions that
are counted from the mask): `open_batch` asks the model itself, and computes sequences one by one where it does not.
"""

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from modelyard.engines.stepping.batch import Batch
from modelyard.errors import InvalidInput

CHUNK: Final = 256
"""Tokens of a prompt that are read between two steps of the others."""
_TOLERANCE: Final = 2e-3  # of the largest logit
_log = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class Row:
    """A sequence. `cache` is its own until it joins; `length` counts the tokens that are in it."""

    cache: Any
    length: int = 0


class Forward:
    """The model's forward pass with those of our arguments that it takes."""

    def __init__(self, model: Any, *, positions: bool = True, mask: bool = True) -> None:
        self._model, self.device = model, model.device
        takes = inspect.signature(model.forward).parameters
        self._cache_name = "past_key_values" if "past_key_values" in takes else "cache_params"  # Mamba's
        self._positions = positions and "position_ids" in takes
        self._mask = mask
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}

    def __call__(self, ids: Tensor, cache: Any, lengths: Tensor) -> Tensor:
        """Logits of the last position, float32 [rows, vocabulary].

        Args:
            ids: int64 [rows, n], the same n new tokens of each row.
            lengths: int64 [rows], tokens that are in the cache.
        """
        new = ids.shape[1]
        width = int(lengths.max()) + new
        given = {"input_ids": ids, self._cache_name: cache, "use_cache": True}
        if self._mask:
            given["attention_mask"] = (torch.arange(width) >= (width - new - lengths)[:, None]).long()
        if self._positions:
            given["position_ids"] = lengths[:, None] + torch.arange(new)
        moved = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in given.items()}
        out: Tensor = self._model(**moved, **self._last).logits[:, -1]
        return out.float().cpu()


class Together:
    """All rows in one cache of one forward pass."""

    chunk: int | None = CHUNK

    def __init__(self, model: Any) -> None:
        self._forward = Forward(model)
        self._rows: list[Row] = []
        self._cache = _plain_cache()

    def new(self, source: Sequence[int] = ()) -> Row:
        return Row(cache=_plain_cache())

    def read(self, row: Row, ids: Sequence[int]) -> Tensor:
        return _read(self._forward, row, ids)

    def join(self, row: Row) -> None:
        width = max(self._width, row.length)
        if self._rows:
            for mine, its in zip(self._cache.layers, row.cache.layers, strict=True):
                if its.is_initialized:
                    mine.keys = torch.cat([_padded(mine.keys, width), _padded(its.keys, width)])
                    mine.values = torch.cat([_padded(mine.values, width), _padded(its.values, width)])
            row.cache = None
        else:
            self._cache, row.cache = row.cache, None
        self._rows.append(row)

    def leave(self, gone: Sequence[Row]) -> None:
        kept = [n for n, row in enumerate(self._rows) if row not in gone]
        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[n] for n in kept]
        if not kept:
            self._cache = _plain_cache()
            return
        places, width = torch.tensor(kept, device=self._forward.device), self._width
        for layer in self._cache.layers:
            if layer.is_initialized:  # others use the keys of a layer before them
                layer.keys = layer.keys[places, :, layer.keys.shape[2] - width :]
                layer.values = layer.values[places, :, layer.values.shape[2] - width :]

    def step(self, tokens: Sequence[int]) -> Tensor:
        lengths = torch.tensor([row.length for row in self._rows])
        logits = self._forward(torch.tensor(tokens)[:, None], self._cache, lengths)
        for row in self._rows:
            row.length += 1
        return logits

    @property
    def _width(self) -> int:
        return max((row.length for row in self._rows), default=0)


class Apart:
    """Each row in a cache and a forward pass of its own, the model's own kind of cache; prompts are read whole."""

    chunk: int | None = None

    def __init__(self, model: Any, *, positions: bool) -> None:
        self._forward, self._config = Forward(model, positions=positions, mask=False), model.config
        self._rows: list[Row] = []

    def new(self, source: Sequence[int] = ()) -> Row:
        from transformers import DynamicCache

        return Row(cache=DynamicCache(config=self._config))

    def read(self, row: Row, ids: Sequence[int]) -> Tensor:
        return _read(self._forward, row, ids)

    def join(self, row: Row) -> None:
        self._rows.append(row)

    def leave(self, gone: Sequence[Row]) -> None:
        self._rows = [row for row in self._rows if row not in gone]

    def step(self, tokens: Sequence[int]) -> Tensor:
        rows = zip(self._rows, tokens, strict=True)
        return torch.stack([self.read(row, [token]) for row, token in rows])


def open_batch(model: Any) -> Batch:
    """The first way of computing that answers as the model does without a cache. Raises InvalidInput for a model
    that none suits."""
    ways: list[Callable[[], Batch]] = [
        lambda: Together(model),
        lambda: Apart(model, positions=True),
        lambda: Apart(model, positions=False),
    ]
    for make in ways[1:] if _scales_by_the_longest(model.config) else ways:
        try:
            error = _error(model, make())
        except Exception as broken:  # a model that takes no such cache raises whatever it does
            _log.info("%s: %r", type(model).__name__, broken)
            continue
        if error < _TOLERANCE:
            return make()
        _log.info("%s: another answer, by %g", type(model).__name__, error)
    raise InvalidInput(
        "the transformers engine cannot go on with this model's texts token by token",
        came=type(model).__name__,
    )


def _scales_by_the_longest(config: Any) -> bool:
    """Whether rotary positions are scaled by the batch's longest sequence: the others' answers would change."""
    waiting = [config.to_dict()]
    while waiting:
        one = waiting.pop()
        if one.get("rope_type", one.get("type")) in ("dynamic", "longrope"):
            return True
        waiting += [value for value in one.values() if isinstance(value, dict)]
    return False


def _error(model: Any, batch: Batch) -> float:
    """How far two sequences that join, run and leave are from what the model says of their whole texts."""
    draw = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().num_embeddings
    texts = [torch.randint(vocabulary, (n,), generator=draw).tolist() for n in (8, 14)]
    with torch.inference_mode():
        due = [model(torch.tensor([text], device=model.device)).logits[0].float().cpu() for text in texts]
        short, long = batch.new(), batch.new()
        found = [(_read_in_two(batch, short, texts[0][:5]), due[0][4])]
        batch.join(short)
        found.append((batch.step([texts[0][5]])[0], due[0][5]))
        found.append((_read_in_two(batch, long, texts[1][:10]), due[1][9]))
        batch.join(long)
        for n in (0, 1):
            both = batch.step([texts[0][6 + n], texts[1][10 + n]])
            found += [(both[0], due[0][6 + n]), (both[1], due[1][10 + n])]
        batch.leave([short])
        found.append((batch.step([texts[1][12]])[0], due[1][12]))
    worst = max(float((is_ - should).abs().max()) for is_, should in found)
    return worst / max(float(max(d.abs().max() for d in due)), 1e-3)


def _read_in_two(batch: Batch, row: Row, ids: Sequence[int]) -> Tensor:
    if batch.chunk is not None:
        batch.read(row, ids[:3])
        ids = ids[3:]
    logits: Tensor = batch.read(row, ids)
    return logits


def _read(forward: Forward, row: Row, ids: Sequence[int]) -> Tensor:
    logits = forward(torch.tensor([list(ids)]), row.cache, torch.tensor([row.length]))
    row.length += len(ids)
    return logits[0]


def _plain_cache() -> Any:
    """One that keeps all positions of all layers, also where attention slides: the mask hides what is too far."""
    from transformers import DynamicCache

    return DynamicCache()


def _padded(states: Tensor, width: int) -> Tensor:
    """[rows, heads, columns, size] with columns of zeros at the left, `width` in all."""
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))
