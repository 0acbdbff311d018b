"""States of sequences that are computed together, each joining and leaving between two steps.

A state of all rows is one array with room for more rows and places than are in use. Rows stand at its beginning and
each one's tokens at the beginning of the row, so that a step is given the first rows as they lie in memory and
writes what is new where it belongs: nothing is copied but at the edges of the room.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from modelyard.engines.contract import Array
from modelyard.engines.decoder.graphs import Graphs, empty, free_axis
from modelyard.types.decoder import State

_PLACES: Final = 32
"""Places that room grows by: what is unused of it is computed and hidden."""


@dataclass(eq=False, kw_only=True)
class Row:
    """A sequence. `states` are its own [1, ...] until it joins; `length` counts the tokens that are in them."""

    states: dict[str, Array] = field(default_factory=dict)
    length: int = 0


class StateBatch:
    """See `stepping.batch.Batch` and `Branching`."""

    def __init__(self, graphs: Graphs) -> None:
        self.chunk: int | None = graphs.file.chunk
        self._graphs, self._state = graphs, graphs.file.state
        self._rows: list[Row] = []
        self._all: dict[str, Array] = {}

    def new(self, source: Sequence[int] = ()) -> Row:
        made = self._graphs.encode(source) if source else {}
        return Row(states={s.name: made[s.name] if s.name in made else empty(s, 1) for s in self._state})

    def read(self, row: Row, ids: Sequence[int]) -> Array:
        for state in self._graphs.appended:
            row.states[state.name] = _roomy(row.states[state.name], state, row.length + len(ids))
        logits: Array = self._run([row], np.array([ids], np.int64), row.states)[0, -1]
        return logits

    def join(self, row: Row) -> None:
        at = len(self._rows)
        for state in self._state:
            self._all[state.name] = _with(self._all.get(state.name), row.states[state.name], state, at)
        row.states = {}
        self._rows.append(row)

    def leave(self, gone: Sequence[Row]) -> None:
        kept = [n for n, row in enumerate(self._rows) if row not in gone]
        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[n] for n in kept]
        if not kept:
            self._all = {}
            return
        for array in self._all.values():
            array[: len(kept)] = array[kept]

    def step(self, tokens: Sequence[int]) -> Array:
        longest = max(row.length for row in self._rows) + 1
        for state in self._graphs.appended:
            self._all[state.name] = _roomy(self._all[state.name], state, longest)
        states = {name: array[: len(self._rows)] for name, array in self._all.items()}
        return self._run(self._rows, np.array(tokens, np.int64)[:, None], states)[:, 0]

    def copies(self, row: Row, count: int) -> list[Row]:
        return [
            Row(states={n: a.copy() for n, a in row.states.items()}, length=row.length) for _ in range(count)
        ]

    def arrange(self, rows: Sequence[Row], parents: Sequence[int]) -> None:
        at = self._rows.index(rows[0])
        places = [at + parent for parent in parents]
        for state in (*self._graphs.appended, *self._graphs.replaced):
            array = self._all[state.name]
            array[at : at + len(rows)] = array[places]

    def _run(self, rows: Sequence[Row], tokens: Array, states: dict[str, Array]) -> Array:
        """Logits [rows, n, vocabulary]; what is new is written into `states`, which are these rows' own."""
        lengths = np.array([row.length for row in rows], np.int64)
        found = self._graphs.step(tokens, lengths, states)
        count = tokens.shape[1]
        for state in self._graphs.appended:
            _write(states[state.name], found[state.name], state, lengths, count)
        for state in self._graphs.replaced:
            states[state.name][...] = found[state.name]
        for row in rows:
            row.length += count
        return found["logits"]


def _write(array: Array, new: Array, state: State, lengths: Array, count: int) -> None:
    """Each row's new places after those that it has."""
    axis = free_axis(state)
    assert axis is not None
    rows = np.arange(len(lengths))[:, None]
    places = lengths[:, None] + np.arange(count)
    np.moveaxis(array, axis, 1)[rows, places] = np.moveaxis(new, axis, 1)


def _roomy(array: Array, state: State, places: int) -> Array:
    """With at least so many places along the free axis."""
    axis = free_axis(state)
    if axis is None or array.shape[axis] >= places:
        return array
    size = -(-places // _PLACES) * _PLACES
    shape = list(array.shape)
    shape[axis] = size - shape[axis]
    return np.concatenate([array, np.zeros(shape, array.dtype)], axis)


def _with(array: Array | None, row: Array, state: State, at: int) -> Array:
    """All rows with one more at `at`, of whichever has more places."""
    if array is None:
        return np.ascontiguousarray(row).copy()
    axis = free_axis(state)
    if axis is not None:
        row = _roomy(row, state, array.shape[axis])
        array = _roomy(array, state, row.shape[axis])
        row = _roomy(row, state, array.shape[axis])
    if at == len(array):
        array = np.concatenate([array, np.zeros_like(array)])
    array[at] = row[0]
    return array
