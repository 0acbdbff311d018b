"""What stands between a script and its run: inside one (files and a pipe) or outside (HTTP)."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from modelyard.conversion.contract import Options, Origin
from modelyard.tracking.data import ScriptDataset
from modelyard.types.script import ScriptEvent


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """A model that was packaged. `version` is None where it gets its number when the run has ended."""

    name: str
    task: str
    format: str
    digest: str
    notes: tuple[str, ...] = ()
    version: int | None = None

    def __str__(self) -> str:
        version = "" if self.version is None else f":{self.version}"
        return f"{self.name}{version} ({self.task}, served as {self.format})"

    def _repr_html_(self) -> str:
        from modelyard.tracking.display import model_html

        return model_html(self)


class Backend(Protocol):
    """One run."""

    @property
    def params(self) -> dict[str, Any]: ...

    @property
    def checkpoints(self) -> Path: ...

    def dataset(self, name: str) -> ScriptDataset:
        """Raises NotFound."""
        ...

    def put(self, event: ScriptEvent) -> None:
        """Without waiting."""
        ...

    def artifact(self, path: Path, name: str) -> None:
        """Raises InvalidInput."""
        ...

    def model(self, model: Any, name: str, options: Options, example: Any, origin: Origin,
              data: ScriptDataset | None) -> LoggedModel: ...  # fmt: skip

    def close(self, state: str) -> None:
        """Send what waits."""
        ...

    def __enter__(self) -> "Backend": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class EndsWithBlock:
    """The context manager's half of a Backend."""

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from modelyard.tracking.session import end_run

        end_run("succeeded" if kind is None else "failed")
