"""What a kind of run is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from modelyard.errors import InvalidInput
from modelyard.tasks.options import resolve
from modelyard.types.run import Reporter, RunSpec

P = TypeVar("P", bound=msgspec.Struct)

SPEC_NAME = "spec.json"
OUTCOME_NAME = "outcome.json"


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """One attempt: its specification, its folder (laid out as `types.run` says) and whom it reports to."""

    spec: RunSpec
    folder: Path
    reporter: Reporter

    @property
    def checkpoints(self) -> Path:
        """Kept over attempts."""
        return self.folder / "checkpoints"

    @property
    def attempt(self) -> Path:
        return self.folder / f"attempt-{self.spec.attempt}"

    @property
    def outputs(self) -> Path:
        """Empty when the attempt starts."""
        return self.attempt / "outputs"

    def params(self, struct: type[P]) -> P:
        """The run's parameters as its kind's struct. Raises UnknownName and InvalidInput."""
        return resolve(struct, self.spec.params, "params")

    def input(self, name: str) -> Path:
        """The folder of an input. Raises InvalidInput when the run was not given one."""
        folder = self.folder / "inputs" / name
        if not folder.is_dir():
            raise InvalidInput(f"the run has no input {name!r}", allowed=sorted(self.spec.inputs) or "none")
        return folder
