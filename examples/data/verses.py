"""The Bible's verses in English and Spanish (both public domain) as JSON lines to learn to translate from.

    apt-get download sword-text-web sword-text-sparv && for deb in sword-text-*.deb; do dpkg -x $deb sword; done
    pip install pysword
    python examples/data/verses.py sword verses
    yard data add verses verses/*.jsonl

The World English Bible and the Reina-Valera of 1909. Writes train.jsonl, validation.jsonl and test.jsonl: rows of
{"en": ..., "es": ...}, a verse each. Whole chapters are held out, every twentieth for each, since a verse often
says again what the one before it said. Footnotes are left out: their tags stand between words without a space.
"""

import functools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MODULES = {"en": "engWEB2015eb", "es": "spaRV1909eb"}
EVERY = 20
MOST = 3.0  # times that one side may be longer than the other: above, verses are numbered differently


def plain(text: str) -> str:
    """Without marks, notes and headings."""
    text = re.sub(r"<(note|title)\b.*?</\1>", " ", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", "", text)
    text = " ".join(text.replace("¶", " ").split())
    return re.sub(r" ([,.;:!?»”’)])", r"\1", text)


def verses(folder: Path, module: str) -> dict[tuple[str, int, int], str]:
    """(book, chapter, verse) -> text."""
    from pysword.modules import SwordModules

    modules = SwordModules(str(folder / "usr" / "share" / "sword"))
    modules.parse_modules()
    bible = modules.get_bible_from_module(module)
    # pysword unpacks the whole book again for each verse.
    bible._decompressed_text = functools.lru_cache(maxsize=2)(bible._decompressed_text)
    found = {}
    for books in bible.get_structure().get_books().values():
        for book in books:
            for chapter, count in enumerate(book.chapter_lengths, 1):
                for verse in range(1, count + 1):
                    text = bible.get(books=[book.name], chapters=[chapter], verses=[verse], clean=False)
                    found[book.name, chapter, verse] = plain(text)
    return found


def pairs(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(split, row) of every verse that both have."""
    english, spanish = (verses(folder, module) for module in MODULES.values())
    chapters = {key: number for number, key in enumerate(sorted({key[:2] for key in english}))}
    for key, text in english.items():
        other = spanish.get(key, "")
        if not text or not other or not 1 / MOST < len(text) / len(other) < MOST:
            continue
        place = chapters[key[:2]] % EVERY
        yield {0: "test", EVERY // 2: "validation"}.get(place, "train"), {"en": text, "es": other}


def main(source: str, target: str) -> None:
    out = Path(target)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    for split, row in pairs(Path(source)):
        written[split].append(row)
    for split, rows in written.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{split}.jsonl").write_text(text, "utf-8")
        print(f"{split}.jsonl: {len(rows):,} verses")


if __name__ == "__main__":
    main(*sys.argv[1:])
