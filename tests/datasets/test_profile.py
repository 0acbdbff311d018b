"""The profile: figures checked by another way, warnings in plain words, a page without anything to load."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from modelyard.types.dataset import Profile


@pytest.fixture
def version(add, tmp_path):
    generator = np.random.default_rng(0)
    lines = ["size,gaps,same,number,word,when,label"]
    for place in range(500):
        gap = "" if place % 4 == 0 else place
        size = "inf" if place == 7 else repr(generator.normal())
        word = ["NA", "<script>alert(1)</script>", "\x1b[31mred"][place % 3]
        lines.append(f"{size},{gap},1,{place},{word},2024-01-{place % 28 + 1:02},{'ab'[place % 20 == 0]}")
    lines += [lines[1]] * 20
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    return add(tmp_path / "a.csv")


def test_figures(version):
    profile = version.profile
    columns = {column.name: column for column in profile.columns}
    values = version.columns()
    sizes = values["size"][np.isfinite(values["size"])]
    assert columns["size"].mean == pytest.approx(sizes.mean())
    assert columns["size"].std == pytest.approx(sizes.std())
    assert (columns["size"].minimum, columns["size"].maximum) == (sizes.min(), sizes.max())
    assert sum(columns["size"].histogram["counts"]) == len(sizes) == 519
    assert columns["gaps"].missing == 125 + 20
    assert columns["gaps"].distinct == 375
    assert columns["same"].distinct == 1
    assert dict(columns["word"].top)["NA"] == 167 + 20
    assert columns["when"].extra == {
        "first": "2024-01-01T00:00:00.000000",
        "last": "2024-01-28T00:00:00.000000",
    }
    assert profile.duplicates == 20
    assert profile.rows == 520
    copies = [
        (split, row) for split in ("train", "validation", "test") for row in version.columns(split)["number"]
    ]
    for pair, rows in profile.leaked.items():
        first, second = pair.split("/")
        known = {row for split, row in copies if split == first}
        assert rows == sum(split == second and row in known for split, row in copies)
    assert "train/test" in profile.leaked


def test_warnings_are_plain(version):
    warnings = "\n".join(version.profile.warnings)
    assert re.search(
        r"\d rows of test \([\d.]+%\) stand in train too: figures on test will look better", warnings
    )
    assert "20 rows (3.8%) repeat an earlier row." in warnings
    assert "test has 52 rows only" in warnings
    assert "classes are out of balance: 'a' has" in warnings
    assert "column 'gaps' lacks 145 of 520 values (27.9%)." in warnings
    assert "column 'same' has one value only" in warnings
    assert "column 'size' holds 1 infinite values." in warnings
    assert "column 'word' holds 'NA' in 187 rows" in warnings


def test_the_page_is_whole_and_takes_nothing_from_the_data_as_markup(version):
    page = (version.folder / "profile.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "url(" not in page
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(charts) >= 8
    for chart in charts:
        root = ElementTree.fromstring(chart)
        assert root.findall(".//{http://www.w3.org/2000/svg}text[@class='title']"), (
            "a chart without axis titles"
        )


def test_the_text_has_no_control_characters(version):
    text = (version.folder / "profile.txt").read_text()
    assert "\x1b" not in text
    assert "520 rows, 7 columns, label label" in text
    assert "rows that stand in train and in test" in text


def test_the_same_version_has_the_same_profile(version, add, tmp_path):
    again = add(tmp_path / "a.csv")
    for name in ("profile.json", "profile.txt", "profile.html"):
        assert (version.folder / name).read_bytes() == (again.folder / name).read_bytes()


def test_images_are_shown(add):
    version = add(builtin="digits")
    page = (version.folder / "profile.html").read_text()
    assert page.count('src="data:image/png;base64,') == 80
    image = version.profile.columns[0]
    assert ">pixels</text>" in page  # the y axis; bars of classes count rows
    assert ">rows</text>" in page
    assert (image.minimum, image.maximum) == (0, 240)
    assert image.extra["sizes"] == {"8 x 8": 1797}
    assert isinstance(version.profile, Profile)


def test_an_id_and_a_class_without_test_rows_are_told(add, tmp_path):
    rows = "".join(
        f"{place},{'train' if place < 60 else 'test'},{'ab'[place < 30]}\n" for place in range(100)
    )
    (tmp_path / "a.csv").write_text("number,fold,label\n" + rows)
    warnings = "\n".join(add(tmp_path / "a.csv", split_column="fold").profile.warnings)
    assert "column 'number' has another value in every row, like an id" in warnings
    assert "test has no row of 'b'." in warnings
