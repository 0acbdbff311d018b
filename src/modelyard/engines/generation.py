"""What an engine that batches by itself is: `create(path, options) -> Generator`, one file an engine.

A generator runs inside a replica's process, on the replica's event loop, and takes several requests at a time; its
compute runs in threads of its own, so that the loop never waits for it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelyard.types.generation import Abilities as Abilities
from modelyard.types.generation import AudioRequest, Delta, TextRequest

GenerationRequest = TextRequest | AudioRequest


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """What a deployment says of an engine.

    slots      sequences that are generated at a time; None: the engine's own choice for the machine
    context    tokens, prompt and answer together, that one sequence may have; None: the model's own limit, at most
               8,192
    threads    compute threads; None: the engine's own choice
    """

    slots: int | None = None
    context: int | None = None
    threads: int | None = None


class Generator(Protocol):
    """Generates for several requests at a time, at most `abilities.slots` of them."""

    @property
    def abilities(self) -> Abilities: ...

    def generate(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        """The answer's pieces as they come; the last one has `finish`. Closing the iterator (`aclose`) ends the
        work within a second and frees its slot.

        Raises InvalidInput (a prompt that is longer than the context: with "context" in its message), before the
        first piece; Unavailable where the engine has broken.
        """
        ...

    def count(self, text: str) -> int:
        """Tokens of a text. May be slow: called in a thread."""
        ...

    async def aclose(self) -> None:
        """End all work. The engine's memory goes with the process."""
        ...


class CreateGenerator(Protocol):
    """Opens the model at `path`, a format's entry file in a package's folder.

    Raises InvalidInput, MissingExtra."""

    def __call__(self, path: Path, options: GeneratorOptions) -> Generator: ...
