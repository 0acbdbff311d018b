"""What an engine that is stepped brings: states of sequences, which join and leave between two steps."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


class Row(Protocol):
    """A sequence. `length` counts the tokens that are in its state."""

    length: int


class Batch(Protocol):
    """Rows in the order in which they joined. Logits are float32 arrays, or tensors that NumPy takes as such."""

    @property
    def chunk(self) -> int | None:
        """Most tokens of a prompt that are read at a time; None: all of it, always."""

    def new(self, source: Sequence[int] = ()) -> Any:
        """A Row with nothing read. `source`: tokens that an encoder reads before, of models that have one."""

    def read(self, row: Any, ids: Sequence[int]) -> Any:
        """Put more of the prompt into a row that has not joined; logits of the next token [vocabulary]."""

    def join(self, row: Any) -> None: ...

    def leave(self, gone: Sequence[Any]) -> None: ...

    def step(self, tokens: Sequence[int]) -> Any:
        """One token more for each row; logits of the next ones [rows, vocabulary]."""


@runtime_checkable
class Branching(Protocol):
    """A batch that beam search can be done with."""

    def copies(self, row: Any, count: int) -> list[Any]:
        """So many more rows like one that has not joined."""

    def arrange(self, rows: Sequence[Any], parents: Sequence[int]) -> None:
        """Let each of these rows, which stand side by side in the batch, go on from the one at its parent's place
        among them."""
