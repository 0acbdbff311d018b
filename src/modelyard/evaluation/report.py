"""report.json and report.html."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from modelyard.evaluation.mistakes import Mistake
from modelyard.evaluation.page import render
from modelyard.files import write_atomic
from modelyard.types.report import Exhibit, Report

JSON_NAME: Final = "report.json"
PAGE_NAME: Final = "report.html"


def write_report(
    report: Report, folder: Path, mistakes: Sequence[Mistake] = (), exhibits: Sequence[Exhibit] = ()
) -> None:
    """Write report.json and the self-contained page report.html into `folder`, which is made.

    The same report gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / PAGE_NAME, render(report, mistakes, exhibits).encode("utf-8", "replace"))
    data = msgspec.json.encode(report, order="sorted")
    write_atomic(folder / JSON_NAME, msgspec.json.format(data, indent=2))
