"""The scripts that write texts to learn from, on the Debian packages that they read."""

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent.parent / "examples" / "data"


@pytest.mark.verses
def test_verses_are_aligned_and_plain() -> None:
    pytest.importorskip("pysword")
    root = Path("/")
    if not (root / "usr/share/sword/mods.d/engWEB2015eb.conf").exists():
        pytest.skip("needs Debian's sword-text-web and sword-text-sparv")
    script: dict[str, Any] = runpy.run_path(str(SCRIPTS / "verses.py"))
    rows = list(script["pairs"](root))
    assert len(rows) > 31_000
    splits = [split for split, _ in rows]
    assert {split: splits.count(split) > 1000 for split in ("train", "validation", "test")} == dict.fromkeys(
        ("train", "validation", "test"), True
    )
    first = next(row for _, row in rows if row["en"].startswith("In the beginning, God"))
    assert first == {
        "en": "In the beginning, God created the heavens and the earth.",
        "es": "EN el principio crió Dios los cielos y la tierra.",
    }
    assert not any(mark in row[side] for _, row in rows for side in row for mark in "<>¶")


def test_verses_lose_their_marks() -> None:
    plain = runpy.run_path(str(SCRIPTS / "verses.py"))["plain"]
    note = '<note placement="foot">or, Elohim</note>'
    marked = f'<title>A Psalm</title><w lemma="strong:H0430">God</w>{note}said , <w>so</w> .'
    assert plain(marked) == "God said, so."


def test_messages_lose_their_access_keys() -> None:
    plain = runpy.run_path(str(SCRIPTS / "catalogues.py"))["plain"]
    assert plain("~File\n _open") == "File open"
