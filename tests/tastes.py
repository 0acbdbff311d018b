"""Users of two tastes, small enough to see through: half of them take films of war, half of love."""

import csv
from pathlib import Path

import numpy as np

USERS = 60
FILMS = 24  # the first half of war


def rows(seed: int = 0) -> list[dict[str, object]]:
    """Each user has half of the films of the own taste and one of the other; ratings say which is which."""
    random = np.random.default_rng(seed)
    found: list[dict[str, object]] = []
    for user in range(USERS):
        own = user % 2 * FILMS // 2
        liked = own + random.choice(FILMS // 2, FILMS // 4, replace=False)
        other = (own + FILMS // 2) % FILMS + random.integers(FILMS // 2)
        for when, film in enumerate([*liked.tolist(), int(other)]):
            rating = int(random.integers(4, 6)) if film != other else int(random.integers(1, 3))
            found.append(
                {
                    "user": f"u{user:02}",
                    "item": film,
                    "title": title(film),
                    "rating": rating,
                    "timestamp": when,
                }
            )
    return found


def title(film: int) -> str:
    return f"{'War' if film < FILMS // 2 else 'Love'} {film}"


def write(folder: Path) -> list[Path]:
    """train.csv, validation.csv and test.csv: a film of each user's own taste is held out in either of the last."""
    split: dict[str, list[dict[str, object]]] = {"train": [], "validation": [], "test": []}
    for row in rows():
        name = {0: "test", 1: "validation"}.get(int(str(row["timestamp"])), "train")
        split[name].append(row)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in split.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(part[0]))
            writer.writeheader()
            writer.writerows(part)
    return sorted(folder.glob("*.csv"))
