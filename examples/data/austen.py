"""Jane Austen's six novels (public domain) as JSON lines to fine-tune a language model on, without the network.

    apt-get download r-cran-janeaustenr && dpkg -x r-cran-janeaustenr_*.deb austen
    python examples/data/austen.py austen austen-lines
    yard data add austen austen-lines/*.jsonl

Writes train.jsonl (four novels), validation.jsonl (Persuasion) and test.jsonl (Northanger Abbey): rows of
{"text": ...}, each some paragraphs of one chapter. The package keeps the novels in R's lazy-load file: zlib
streams, each of a character vector in R's XDR serialization (R Internals, 1.8 and 2.4).
"""

import json
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

DATA = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
NOVELS = ("emma", "mansfieldpark", "northangerabbey", "persuasion", "prideprejudice", "sensesensibility")
SPLITS = {"northangerabbey": "test", "persuasion": "validation"}
STRING, STRINGS = 9, 16
LETTERS = 2000  # of a row, about


def novels(folder: Path) -> dict[str, list[str]]:
    """Name -> the lines of the book. Raises ValueError for a file of another form."""
    data = (folder / DATA).read_bytes()
    found: list[list[str]] = []
    while data:
        stream = zlib.decompressobj()
        found.append(list(strings(stream.decompress(data[4:]))))
        data = stream.unused_data
    if len(found) != len(NOVELS):
        raise ValueError(f"{len(found)} objects, not {len(NOVELS)} novels")
    return dict(zip(NOVELS, found, strict=True))


def strings(data: bytes) -> Iterator[str]:
    """The strings of a serialized character vector."""
    version, encoding = struct.unpack_from(">I", data, 2)[0], 0
    at = 14
    if version == 3:
        (encoding,) = struct.unpack_from(">I", data, at)
        at += 4 + encoding
    kind, count = struct.unpack_from(">II", data, at)
    if data[:2] != b"X\n" or kind & 0xFF != STRINGS:
        raise ValueError("no character vector")
    at += 8
    for _ in range(count):
        flags, length = struct.unpack_from(">Ii", data, at)
        if flags & 0xFF != STRING:
            raise ValueError("no string")
        at += 8
        yield data[at : at + max(length, 0)].decode("utf-8")
        at += max(length, 0)


def rows(lines: list[str]) -> Iterator[str]:
    """Paragraphs of one chapter together, about LETTERS of them."""
    held: list[str] = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        text = " ".join(paragraph.split())
        if not text:
            continue
        if held and (
            re.match(r"(CHAPTER|VOLUME)\b", text, re.I) or sum(map(len, held)) + len(text) > LETTERS
        ):
            yield "\n\n".join(held)
            held = []
        held.append(text)
    if held:
        yield "\n\n".join(held)


def main(source: str, target: str) -> None:
    out = Path(target)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for name, lines in novels(Path(source)).items():
        written[SPLITS.get(name, "train")] += list(rows(lines))
    for split, texts in written.items():
        text = "".join(json.dumps({"text": row}) + "\n" for row in texts)
        (out / f"{split}.jsonl").write_text(text, "utf-8")
        print(f"{split}.jsonl: {len(texts):,} rows, {sum(map(len, texts)):,} letters")


if __name__ == "__main__":
    main(*sys.argv[1:])
