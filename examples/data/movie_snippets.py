"""10,605 sentences on films with the mean of twenty people's scores, -4 to 4 (VADER, Hutto and Gilbert 2014, MIT
licence), as JSON lines: positive where the mean is above 0, else negative. Without the network:

    pip download --no-deps --no-binary :all: vaderSentiment==0.5 && python -m zipfile -e vaderSentiment-0.5.zip .
    python examples/data/movie_snippets.py vaderSentiment-0.5 movie-snippets
    yard data add movie-snippets movie-snippets/*.jsonl

Writes train.jsonl, validation.jsonl and test.jsonl (8 : 1 : 1): rows of {"text", "label"}, in a split that a hash
of the text chooses. (pip may end with an error on its build; the file lies there.)
"""

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
SPLITS = ("train",) * 8 + ("validation", "test")


def snippets(folder: Path) -> Iterator[tuple[str, str]]:
    """(text, label). Lines are a number, the mean score and the text. Raises ValueError for another form."""
    with tarfile.open(folder / ARCHIVE) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise ValueError(f"{MEMBER} is no file")
        for line in io.TextIOWrapper(member, "utf-8", errors="replace"):
            _, score, text = line.rstrip("\n").split("\t", 2)
            if text.strip():
                yield " ".join(text.split()), "positive" if float(score) > 0 else "negative"


def split_of(text: str) -> str:
    return SPLITS[int(hashlib.sha256(text.lower().encode()).hexdigest(), 16) % len(SPLITS)]


def main(source: str, target: str) -> None:
    out = Path(target)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[str]] = {split: [] for split in SPLITS}
    for text, label in snippets(Path(source)):
        written[split_of(text)].append(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")
    for split, rows in written.items():
        (out / f"{split}.jsonl").write_text("".join(rows), "utf-8")
        print(f"{split}.jsonl: {len(rows):,} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
