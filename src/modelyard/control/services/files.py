"""Files of versions and reports, as clients download them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.control.platform import Platform
from modelyard.errors import NotFound
from modelyard.types.package import FileEntry


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """`path` is ours alone; `name` is what the client asked for."""

    name: str
    path: Path
    entry: FileEntry


def open_stored(platform: Platform, files: Mapping[str, FileEntry], name: str) -> StoredFile:
    """The file of that name among `files`. Raises NotFound; a name is only ever compared, never followed."""
    entry = files.get(name)
    if entry is None or not platform.blobs.has(entry.sha256):
        raise NotFound("there is no such file", came=name, allowed=sorted(files))
    return StoredFile(name=name, path=platform.blobs.path(entry.sha256), entry=entry)
