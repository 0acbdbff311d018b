"""Files that a run logged: what there is, and saving them."""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from modelyard.client.transport import Request, Transport, at
from modelyard.client.upload import saved
from modelyard.errors import InvalidInput

Progress = Callable[[float, float, str], None]


def listed(transport: Transport, run: str, folder: str = "") -> list[dict[str, Any]]:
    """What lies in a folder: [{"path", "is_dir", "size"}]."""
    query = {"path": folder} if folder else {}
    return list(
        transport.send(Request(method="GET", path=at("runs", run, "artifacts"), query=query))["items"]
    )


def walk(transport: Transport, run: str, folder: str = "") -> Iterator[dict[str, Any]]:
    """Every file below a folder."""
    for item in listed(transport, run, folder):
        if item["is_dir"]:
            yield from walk(transport, run, item["path"])
        else:
            yield item


def save(transport: Transport, run: str, out: Path, progress: Progress) -> list[Path]:
    """Write every file of a run below `out`. Raises InvalidInput for a path that would lie elsewhere."""
    written: list[Path] = []
    for item in walk(transport, run):
        path = PurePosixPath(item["path"])
        if path.is_absolute() or ".." in path.parts:
            raise InvalidInput("the run has an artifact whose path leaves the folder", came=item["path"])
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        saved(transport, f"{at('runs', run, 'artifacts', 'files')}/{quote(item['path'])}", target, progress)
        written.append(target)
    return written
