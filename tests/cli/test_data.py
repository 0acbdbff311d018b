"""`yard data`, against a real platform."""

import json
import re

import pytest

from stocked import NOTE, Stocked

pytestmark = pytest.mark.slow  # real processes


def test_add_says_what_was_found(stocked: Stocked) -> None:
    said = stocked.yard("data", "add", "wine-again", "--builtin", "wine")
    assert "train 142, validation 18, test 18" in said
    assert "yard train --data wine-again" in said
    assert "--target" in stocked.yard("data", "show", "cellar")


def test_profile_is_text_json_or_a_page(stocked: Stocked) -> None:
    said = stocked.yard("data", "profile", "cellar")
    assert said.startswith("178 rows, 7 columns, no label\n")
    assert "column 'bottle' has another value in every row" in said
    assert stocked.json("data", "profile", "cellar:1")["rows"] == 178
    assert "The page is in cellar.html." in stocked.yard("data", "profile", "cellar", "--out", "cellar.html")
    assert "<html" in (stocked.folder / "cellar.html").read_text()[:200]


def test_sample_is_said_or_written(stocked: Stocked) -> None:
    said = stocked.yard("data", "sample", "wine", "--row", "2")
    assert re.search("true value +class_", said)
    stocked.yard("data", "sample", "cellar", "--split", "train", "--out", "row.json")
    row = json.loads((stocked.folder / "row.json").read_text())
    assert row["note"].startswith(NOTE)
    assert stocked.json("data", "sample", "wine")["split"] == "test"
    wrong = stocked.run("data", "sample", "wine", "--split", "tset")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "allowed: test, train, validation" in wrong.stderr
