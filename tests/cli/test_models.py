"""`yard models`, against a real platform."""

import pytest

from stocked import Stocked

pytestmark = pytest.mark.slow  # real processes


def test_report_names_its_version_and_says_the_figures(stocked: Stocked) -> None:
    said = stocked.yard("models", "report", "wine")
    assert "wine:2\n" in said.replace(" ", "")
    assert "95% of resamples lie from" in said
    for words in (
        "accuracy",
        "log_loss",
        "class_0",
        "precision",
        "yard models report wine --out report.html",
    ):
        assert words in said
    assert "wine:1\n" in stocked.yard("models", "report", "wine:1").replace(" ", "")


def test_report_as_json_and_as_a_page(stocked: Stocked) -> None:
    assert stocked.json("models", "report", "wine:1")["metrics"]["main"] == "accuracy"
    assert "The page is in r.html." in stocked.yard("models", "report", "wine", "--out", "r.html")
    assert "<html" in (stocked.folder / "r.html").read_text()[:200]
    wrong = stocked.run("models", "report", "wine@nobody")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "no such alias; came: @nobody" in wrong.stderr
