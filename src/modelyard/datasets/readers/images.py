"""Folders of images: see `folders`."""

from collections.abc import Sequence
from typing import Final

from modelyard.datasets.entries import Entry
from modelyard.datasets.pictures import MAX_BYTES, check_image
from modelyard.datasets.readers import Reader
from modelyard.datasets.readers.folders import Files, open_folder

FILES: Final = Files(
    column="image", kind="image", said="images", one="an image", longest=MAX_BYTES, check=check_image
)


def open_entries(entries: Sequence[Entry]) -> Reader:
    return open_folder(entries, FILES)
