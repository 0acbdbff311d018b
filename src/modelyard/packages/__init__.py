"""Writing, reading and verifying a package: a folder of files and its manifest (`types/package.py`)."""

from modelyard.packages.reader import digest, read
from modelyard.packages.writer import write

__all__ = ["digest", "read", "write"]
