"""A few hundred sentences of a small grammar, as a data set: quickly learnt, and no two splits alike."""

import itertools
import json
from pathlib import Path
from typing import Any

from modelyard import datasets
from modelyard.datasets import Dataset

PEOPLE = ("the girl", "a man", "the old king", "my mother", "the doctor", "a small boy")
VERBS = ("sees", "paints", "finds", "buys", "forgets", "opens")
THINGS = ("the house", "a red apple", "the door", "an old book", "the garden", "a letter")
SPANISH = {
    "the girl": "la niña", "a man": "un hombre", "the old king": "el viejo rey", "my mother": "mi madre",
    "the doctor": "el médico", "a small boy": "un niño pequeño", "sees": "ve", "paints": "pinta",
    "finds": "encuentra", "buys": "compra", "forgets": "olvida", "opens": "abre", "the house": "la casa",
    "a red apple": "una manzana roja", "the door": "la puerta", "an old book": "un libro viejo",
    "the garden": "el jardín", "a letter": "una carta",
}  # fmt: skip


class Silent:
    """A Reporter that keeps nothing."""

    def metrics(self, step: int, values: dict[str, float]) -> None: ...

    def progress(self, done: float, total: float, text: str = "") -> None: ...

    def check(self) -> None: ...


def sentences() -> list[tuple[str, str]]:
    """English and Spanish."""
    words = itertools.product(PEOPLE, VERBS, THINGS)
    return [(" ".join(w) + ".", " ".join(SPANISH[part] for part in w) + ".") for w in words]


def write(folder: Path, columns: tuple[str, ...] = ("text",)) -> Dataset:
    """Every seventh sentence is validation, every ninth test. `columns`: ("text",), or ("en", "es")."""
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    for number, pair in enumerate(sentences()):
        split = "validation" if number % 7 == 0 else "test" if number % 9 == 0 else "train"
        rows[split].append(dict(zip(columns, pair, strict=False)))
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{split}.jsonl" for split in rows]
    for file, split in zip(files, rows, strict=True):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows[split]), "utf-8")
    kinds: dict[str, Any] = dict.fromkeys(columns, "text")
    datasets.ingest(files, datasets.IngestOptions(columns=kinds), folder / "version", Silent())
    return datasets.open_dataset(folder / "version")
