"""Folders of sound files: see `folders`. With transcripts, metadata.jsonl has `file_name` and `text`."""

from collections.abc import Sequence
from typing import Final

from modelyard.datasets.entries import Entry
from modelyard.datasets.readers import Reader
from modelyard.datasets.readers.folders import Files, open_folder
from modelyard.datasets.recordings import MAX_BYTES, check_sound

FILES: Final = Files(
    column="audio", kind="audio", said="sound files", one="a sound file", longest=MAX_BYTES, check=check_sound
)


def open_entries(entries: Sequence[Entry]) -> Reader:
    return open_folder(entries, FILES)
