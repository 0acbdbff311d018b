"""10,605 sentences on films with the mean of twenty people's scores, -4 to 4 (VADER, Hutto and Gilbert 2014, MIT
licence), as JSON lines: positive where the mean is above 0, else negative. Without the network:

    pip download --no-deps --no-binary :all: vaderSentiment==0.5 && python -m zipfile -e vaderSentiment-0.5.zip .
    python examples/data/movie_snippets.py vaderSentiment-0.5 movie-snippets
    yard data add movie-snippets movie-snippets/*.jsonl

Writes train.jsonl, validation.jsonl and test.jsonl (8 : 1 : 1): rows of {"text", "label"}, in a split that a hash
of the text chooses. (pip may end with an error on its build; the file lies there.)
"""

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from labelled_texts import write

ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


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


if __name__ == "__main__":
    write(snippets(Path(sys.argv[1])), Path(sys.argv[2]))
