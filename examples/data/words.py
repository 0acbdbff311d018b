"""Texts to learn vectors of words from, and nouns to measure them by, without the network: the glosses of WordNet
3.0 (WordNet licence) and Jane Austen's novels (public domain).

    apt-get download wordnet-base r-cran-janeaustenr
    for package in wordnet-base r-cran-janeaustenr; do dpkg -x $package*.deb words-source; done
    python examples/data/words.py words-source words
    yard data add words words/*.jsonl

Writes train.jsonl and validation.jsonl, rows of {"text": ...}: a synset's words with its gloss, or a paragraph of
a novel; a twentieth of them for validation. And test.jsonl, rows of {"text", "place"}: frequent words that are
nouns alone with their place in WordNet's tree of nouns, as "/entity/physical_entity/.../dog", of which training
sees nothing."""

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from austen import novels

DATA = "usr/share/wordnet"
KINDS = ("noun", "verb", "adj", "adv")
LEAST, MOST = 40, 1000  # how often a test word occurs at least, and how many there are at most
HELD_OUT = 20


def synsets(folder: Path, kind: str) -> Iterator[tuple[str, list[str], str, str]]:
    """(offset, words, the first hypernym's offset or "", gloss) of the lines of data.noun and so on
    (wndb(5WN))."""
    for line in (folder / DATA / f"data.{kind}").read_text("utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields, _, gloss = line.partition(" | ")
        parts = fields.split()
        count = int(parts[3], 16)
        words = [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in parts[4 : 4 + 2 * count : 2]]
        pointers = parts[4 + 2 * count + 1 :]
        above = next((pointers[k + 1] for k, symbol in enumerate(pointers) if symbol in ("@", "@i")), "")
        yield parts[0], words, above, gloss.strip()


def places(folder: Path) -> dict[str, str]:
    """Nouns that are no verb, adjective or adverb -> the path to their first sense."""
    found = {offset: (words[0], above) for offset, words, above, _ in synsets(folder, "noun")}
    senses = {kind: index(folder, kind) for kind in KINDS}
    others = set().union(*(senses[kind] for kind in KINDS[1:]))
    return {word: path(found, offset) for word, offset in senses["noun"].items() if word not in others}


def index(folder: Path, kind: str) -> dict[str, str]:
    """Single words in lower case -> the offset of their first sense."""
    lines = (folder / DATA / f"index.{kind}").read_text("utf-8").splitlines()
    rows = [line.split() for line in lines if not line.startswith("  ")]
    return {row[0]: row[-int(row[2])] for row in rows if row[0].isalpha() and len(row[0]) > 2}


def path(found: dict[str, tuple[str, str]], offset: str) -> str:
    parts: list[str] = []
    while offset:
        word, offset = found[offset]
        parts.append(word.replace(" ", "_").replace("/", "_"))
    return "/" + "/".join(reversed(parts))


def texts(folder: Path) -> Iterator[str]:
    for kind in KINDS:
        for _, words, _, gloss in synsets(folder, kind):
            yield f"{', '.join(words)}: {gloss}"
    for lines in novels(folder).values():
        for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
            if text := " ".join(paragraph.split()):
                yield text


def is_held_out(text: str) -> bool:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % HELD_OUT == 0


def main(source: str, target: str) -> None:
    out = Path(target)
    out.mkdir(parents=True, exist_ok=True)
    splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    counts: Counter[str] = Counter()
    for text in dict.fromkeys(texts(Path(source))):
        splits["validation" if is_held_out(text) else "train"].append({"text": text})
        counts.update(re.findall(r"[a-z]+", text.lower()))
    known = places(Path(source))
    frequent = [word for word, count in counts.most_common() if count >= LEAST and word in known][:MOST]
    splits["test"] = [{"text": word, "place": known[word]} for word in frequent]
    for split, rows in splits.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{split}.jsonl").write_text(text, "utf-8")
        print(f"{split}.jsonl: {len(rows):,} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
