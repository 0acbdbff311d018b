"""Texts with a label each as train.jsonl, validation.jsonl and test.jsonl (8 : 1 : 1), rows of {"text", "label"}.

A hash of the text chooses its split, so that copies of a text are in one: no test text is seen in training.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

SPLITS = ("train",) * 8 + ("validation", "test")


def split_of(text: str) -> str:
    """The same for the same letters, whatever their case."""
    return SPLITS[int(hashlib.sha256(text.lower().encode()).hexdigest(), 16) % len(SPLITS)]


def write(rows: Iterable[tuple[str, str]], out: Path) -> None:
    """`rows` are (text, label); `out` is made."""
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[str]] = {split: [] for split in SPLITS}
    for text, label in rows:
        written[split_of(text)].append(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")
    for split, lines in written.items():
        (out / f"{split}.jsonl").write_text("".join(lines), "utf-8")
        print(f"{split}.jsonl: {len(lines):,} rows")
