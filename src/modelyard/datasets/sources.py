"""From what a user names to an opened reader."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from modelyard.datasets.archive import is_clutter, members, open_archive, unpack
from modelyard.datasets.detect import ALLOWED, detect, refuse_pickle, refused
from modelyard.datasets.entries import Entry
from modelyard.datasets.options import BUILTIN, IngestOptions
from modelyard.datasets.readers import Reader, open_reader
from modelyard.datasets.readers.builtin import open_builtin
from modelyard.errors import InvalidInput

_METADATA = ("metadata.csv", "metadata.jsonl")
_FOLDERS = ("audio", "images")  # formats of files that are one value each
_OTHER_TEXT = (".md", ".txt", ".rst")


@contextmanager
def open_sources(sources: Sequence[Path], options: IngestOptions, work: Path) -> Iterator[Reader]:
    """A reader over all `sources`, which are of one format. `work` is an empty folder for what must be
    unpacked."""
    if options.builtin is not None:
        if sources:
            raise InvalidInput(
                "a built-in data set takes no files", came=f"{options.builtin!r} and {len(sources)} files"
            )
        yield open_builtin(options.builtin)
        return
    if not sources:
        raise InvalidInput("nothing to read", allowed=f"files, or a built-in name: {', '.join(BUILTIN)}")
    with ExitStack() as stack:
        entries = [entry for source in sources for entry in _entries(Path(source), stack)]
        format_name, used = _choose(entries, options.format)
        if format_name not in _FOLDERS:
            used = [
                entry if entry.path is not None else unpack(entry, work / f"member-{place}")
                for place, entry in enumerate(used)
            ]
        yield open_reader(format_name, used)


def _entries(source: Path, stack: ExitStack) -> list[Entry]:
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file())
        named = [(path.relative_to(source).as_posix(), path) for path in files]
        found = [Entry.of_file(path, name) for name, path in named if not is_clutter(name)]
        if not found:
            raise InvalidInput(f"folder {source.name!r} has no files", allowed=ALLOWED)
        return found
    if not source.is_file():
        raise InvalidInput(f"there is no file {source.name!r}", allowed=ALLOWED)
    entry = Entry.of_file(source)
    if detect(entry) != "zip":
        return [entry]
    archive = stack.enter_context(open_archive(source, source.name))
    found = members(archive)
    if not found:
        raise InvalidInput(f"zip {source.name!r} has no files", allowed=ALLOWED)
    if all(member.name.endswith(".npy") for member in found):
        return [entry]  # an npz, whatever its name: its reader opens it
    return found


def _choose(entries: list[Entry], said: str | None) -> tuple[str, list[Entry]]:
    """The format of all files, and the files that belong to it."""
    if said is not None:
        return said, _of_said_format(entries, said)
    formats: dict[str, list[Entry]] = {}
    for entry in entries:
        if not _is_readme(entry, len(entries)):
            formats.setdefault(_format(entry), []).append(entry)
    for folder in formats.keys() & set(_FOLDERS):
        for kind in ("csv", "jsonl"):
            tables = formats.pop(kind, [])
            formats[folder] += [entry for entry in tables if _is_metadata(entry)]
            if others := [entry for entry in tables if not _is_metadata(entry)]:
                formats[kind] = others
    if len(formats) != 1:
        shown = ", ".join(f"{name} ({group[0].name!r})" for name, group in sorted(formats.items()))
        raise InvalidInput("the files are not of one format", came=shown, allowed=ALLOWED)
    return next(iter(formats.items()))


def _of_said_format(entries: list[Entry], said: str) -> list[Entry]:
    """All files, once none of them is a pickle; for images and sounds those that are one or say something of
    them."""
    if said in _FOLDERS:
        return [e for e in entries if _is_metadata(e) or (not _is_readme(e, 2) and detect(e) == said)]
    for entry in entries:
        if entry.size == 0:
            raise InvalidInput(f"file {entry.name!r} is empty", allowed=said)
        refuse_pickle(entry, entry.head())
    return entries


def _format(entry: Entry) -> str:
    found = detect(entry)
    if found != "zip":
        return found
    if entry.path is None:
        raise refused(entry.name, "a zip in a zip")
    return "npz"


def _is_metadata(entry: Entry) -> bool:
    return entry.name.rsplit("/", 1)[-1] in _METADATA


def _is_readme(entry: Entry, number: int) -> bool:
    """Notes that lie beside data; a file that comes alone is data."""
    return number > 1 and entry.name.lower().endswith(_OTHER_TEXT)
