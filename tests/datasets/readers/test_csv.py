"""CSV: what is read, and what is refused with its line."""

import pytest

from modelyard.errors import InvalidInput, NotAllowedFormat, TooLarge

ROWS = "".join(f"{place},{place * 0.5},{'xy'[place % 2]}\n" for place in range(40))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_delimiters_are_the_same_version(add, tmp_path, mark):
    (tmp_path / "a.csv").write_text("n,half,letter\n" + ROWS)
    (tmp_path / "b.csv").write_text(("n,half,letter\n" + ROWS).replace(",", mark))
    assert add(tmp_path / "a.csv").digest == add(tmp_path / "b.csv").digest


def test_byte_order_mark_line_ends_blank_lines_and_blanks_around_names(add, tmp_path):
    (tmp_path / "a.csv").write_text("n,half,letter\n" + ROWS)
    text = ("n, half ,letter\n\n" + ROWS).replace("\n", "\r\n")
    (tmp_path / "upload").write_bytes(b"\xef\xbb\xbf" + text.encode())  # no name to go by
    assert add(tmp_path / "a.csv").digest == add(tmp_path / "upload").digest


def test_missing_values_and_forms(add, tmp_path):
    (tmp_path / "a.csv").write_text(
        "number,text,flag,code,when\n"
        + "1.5, a,true,007,2024-05-01\nNA,NA,FALSE,100,\n?,nan,,010,2024-05-02 10:00\n-2e3,b,True,001,N/A\n"
        * 10
    )
    read = add(tmp_path / "a.csv").columns()
    assert [str(value) for value in read["number"][:4]] == ["1.5", "nan", "nan", "-2000.0"]
    assert read["text"][:4].tolist() == [" a", "NA", None, "b"]
    assert [str(value) for value in read["flag"][:4]] == ["1.0", "0.0", "nan", "1.0"]
    assert read["code"][:4].tolist() == ["007", "100", "010", "001"]
    assert [str(value) for value in read["when"][:4]] == [
        "2024-05-01T00:00:00.000000",
        "NaT",
        "2024-05-02T10:00:00.000000",
        "NaT",
    ]


def test_kinds_are_inferred_over_all_rows(add, tmp_path):
    (tmp_path / "a.csv").write_text("n,m\n" + "1,1\n" * 400_000 + "1,one\n" * 30)
    kinds = [column.kind for column in add(tmp_path / "a.csv").manifest.schema.columns]
    assert kinds == ["integer", "category"]


def test_a_column_without_a_name_gets_one(add, tmp_path):
    (tmp_path / "a.csv").write_text(",x\n" + "".join(f"{place},a\n" for place in range(60)))
    version = add(tmp_path / "a.csv")
    assert [column.name for column in version.manifest.schema.columns] == ["unnamed_1", "x"]
    assert "'unnamed_1' has another value in every row" in " ".join(version.profile.warnings)


def test_files_named_by_splits_give_the_splits(add, tmp_path):
    (tmp_path / "train.csv").write_text("x,y\n" + "1,a\n2,b\n" * 20)
    (tmp_path / "test.csv").write_text("y,x\n" + "a,1\nb,2\n" * 5)
    version = add(tmp_path / "train.csv", tmp_path / "test.csv")
    assert version.manifest.split_rows == {"train": 36, "validation": 4, "test": 10}
    assert version.columns("test")["x"].tolist() == [1, 2] * 5
    assert "drawn from the rows of train" in version.profile.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", "'a.csv'.*3 fields in line 3.*2 fields in every line"),
        ('a,b\n1,"two\nlines"\n1\n', "1 fields in line 4"),
        ("a,b,a\n1,2,3\n", "columns of one name; came: 'a'"),
        ("a,a \n1,2\n", "columns of one name; came: 'a'"),
        ("a,b\n", "no rows"),
        ("\n\n", "nothing but blanks"),
        ("", "'a.csv' is empty"),
        ("a,b\x07\n1,2\n", "name cannot be used"),
    ],
)
def test_refused(add, tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        add(tmp_path / "a.csv")


def test_text_that_is_not_utf8_is_named_by_its_line(add, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"name,n\nAnna,1\nJos\xe9,2\n")
    with pytest.raises(InvalidInput, match="not UTF-8; came: byte 0xe9 in line 3"):
        add(tmp_path / "a.csv")
    (tmp_path / "late.csv").write_bytes(b"name,n\n" + b"Anna,1\n" * 1_300_000 + b"Jos\xe9,2\n")
    with pytest.raises(InvalidInput, match="byte 0xe9 in line 1300002"):
        add(tmp_path / "late.csv")
    (tmp_path / "b.csv").write_text("a,b\n1,2\n", encoding="utf-16")
    with pytest.raises(NotAllowedFormat, match="UTF-16"):
        add(tmp_path / "b.csv")


def test_files_must_agree_on_columns(add, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(InvalidInput, match=r"'b.csv' lacks \['y'\] and adds \['z'\] beside 'a.csv'"):
        add(tmp_path / "a.csv", tmp_path / "b.csv")


def test_a_row_larger_than_a_block(add, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "1," + "a" * 20_000_000 + "\n2,b\n")
    with pytest.raises(TooLarge, match=r"a row of 'a.csv'"):
        add(tmp_path / "a.csv")


def test_too_many_columns(add, tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"c{place}" for place in range(10_001)) + "\n")
    with pytest.raises(TooLarge, match="10001 columns; allowed: at most 10000"):
        add(tmp_path / "a.csv")
