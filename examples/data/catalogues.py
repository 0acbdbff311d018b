"""LibreOffice's messages in English and another language (MPL 2.0) as JSON lines to learn to translate from.

    apt-get download libreoffice-l10n-de && dpkg -x libreoffice-l10n-de_*.deb libreoffice
    pip install polib
    python examples/data/catalogues.py libreoffice de catalogues
    yard data add catalogues catalogues/*.jsonl

Writes train.jsonl, validation.jsonl and test.jsonl: rows of {"en": ..., "de": ...}, a message each, from compiled
gettext catalogues. Of messages that are alike in English the first counts; every twentieth is held out for each.
"""

import json
import re
import sys
from pathlib import Path

EVERY = 20
MISSING = ("null", "NULL", "N/A", "n/a", "nan", "NaN")  # what data sets read as a missing value
LETTERS = 400  # of a message at most


def plain(text: str) -> str:
    """Without the marks of access keys, on one line."""
    return " ".join(re.sub(r"[_~](?=\w)", "", text).split())


def messages(folder: Path, language: str) -> dict[str, str]:
    """English -> the other language."""
    import polib

    found: dict[str, str] = {}
    for path in sorted(folder.rglob(f"{language}/LC_MESSAGES/*.mo")):
        for entry in polib.mofile(str(path)):
            english, other = plain(entry.msgid.split("\x04")[-1]), plain(entry.msgstr)
            if {english, other} & {"", *MISSING} or english == other or len(english) > LETTERS:
                continue
            if re.search(r"[a-z]{2}", english):
                found.setdefault(english, other)
    return found


def main(source: str, language: str, target: str) -> None:
    out = Path(target)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    for number, (english, other) in enumerate(messages(Path(source), language).items()):
        split = {0: "test", EVERY // 2: "validation"}.get(number % EVERY, "train")
        written[split].append({"en": english, language: other})
    for split, rows in written.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{split}.jsonl").write_text(text, "utf-8")
        print(f"{split}.jsonl: {len(rows):,} messages")


if __name__ == "__main__":
    main(*sys.argv[1:])
