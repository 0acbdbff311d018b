"""Labels and given splits."""

import pytest

from modelyard.errors import InvalidInput, UnknownName


def write(path, labels, head="x,label"):
    path.write_text(head + "\n" + "".join(f"{place},{label}\n" for place, label in enumerate(labels)))
    return path


def test_class_names_are_sorted_numbers_by_value(add, tmp_path):
    version = add(write(tmp_path / "a.csv", [10, 9, 100] * 20))
    assert version.manifest.class_names == ("9", "10", "100")
    assert add(write(tmp_path / "b.csv", ["b", "a", "C"] * 20)).manifest.class_names == ("C", "a", "b")
    flags = add(write(tmp_path / "c.csv", ["true", "false"] * 20)).manifest
    assert (flags.class_names, flags.schema.column("label").kind) == (("false", "true"), "boolean")


def test_the_splits_keep_the_classes_in_proportion(add, tmp_path):
    version = add(write(tmp_path / "a.csv", ["a"] * 180 + ["b"] * 20))
    assert version.columns("test")["label"].tolist().count("b") == 2
    assert version.profile.class_balance == {
        "train": {"a": 144, "b": 16},
        "validation": {"a": 18, "b": 2},
        "test": {"a": 18, "b": 2},
    }


@pytest.mark.parametrize("missing", ["", "NaN", "nan"])
@pytest.mark.parametrize("labels", [["a", "b"], ["0.5", "1.25"]])
def test_missing_labels_are_counted_and_placed(add, tmp_path, missing, labels):
    path = write(tmp_path / "a.csv", [*labels * 20, missing, *labels, missing])
    with pytest.raises(
        InvalidInput, match="label 'label' is missing in 2 of 44 rows; came: nothing in row 41, 44"
    ):
        add(path)


def test_a_class_with_one_row(add, tmp_path):
    with pytest.raises(InvalidInput, match="one row of class 'b'"):
        add(write(tmp_path / "a.csv", ["a"] * 40 + ["b"]))
    with pytest.raises(InvalidInput, match="one row of class '7'"):
        add(write(tmp_path / "a.csv", [1] * 40 + [7]))


def test_whole_numbers_to_regress_on_are_not_stratified(add, tmp_path):
    path = write(tmp_path / "a.csv", range(300))
    assert len(add(path).manifest.class_names) == 300
    with pytest.raises(InvalidInput, match="one row of class"):
        add(path, stratify=True)
    with pytest.raises(
        InvalidInput, match="stratify needs a label that is a class; came: a label of kind number"
    ):
        add(path, stratify=True, columns={"label": "number"})


def test_more_classes_than_are_kept(add, tmp_path):
    version = add(write(tmp_path / "a.csv", [f"name {place % 1500}" for place in range(3000)]))
    assert version.manifest.class_names == ()
    assert version.manifest.schema.column("label").kind == "text"


def test_a_label_is_guessed_only_where_it_is_obvious(add, tmp_path):
    assert add(write(tmp_path / "a.csv", "ab" * 20, "x,Target")).manifest.schema.label == "Target"
    assert add(write(tmp_path / "b.csv", "ab" * 20, "y,label")).manifest.schema.label is None
    assert add(write(tmp_path / "c.csv", "ab" * 20, "x,species")).manifest.schema.label is None
    with pytest.raises(UnknownName, match="unknown label column 'specie'; did you mean 'species'"):
        add(tmp_path / "c.csv", label="specie")


def test_a_given_split_column(add, tmp_path):
    path = write(tmp_path / "a.csv", ["Train", "train", "dev", "valid", "TEST"] * 10, "x,fold")
    version = add(path, split_column="fold")
    assert version.manifest.split_rows == {"train": 20, "validation": 20, "test": 10}
    assert version.columns("test")["x"].tolist() == list(range(4, 50, 5))


def test_words_that_name_no_split_are_listed(add, tmp_path):
    path = write(tmp_path / "a.csv", ["train", "test", "hold out", ""] * 10, "x,fold")
    with pytest.raises(
        InvalidInput, match=r"'fold' holds values that name no split; came: '', 'hold out'; allowed: train"
    ):
        add(path, split_column="fold")


def test_a_split_by_time(add, tmp_path):
    days = [f"2024-01-{day:02}" for day in range(1, 31)]
    path = tmp_path / "a.csv"
    path.write_text("day,x\n" + "".join(f"{day},{place}\n" for place, day in enumerate(reversed(days))))
    version = add(path, order_by="day")
    assert version.columns("test")["x"].tolist() == [0, 1, 2]
    assert version.columns("validation")["x"].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"order_by": "dya"}, "unknown column to order by 'dya'"),
        ({"order_by": "name"}, "cannot be ordered by 'name'; came: category"),
        ({"order_by": "day", "split_column": "name"}, "order_by, or stratify, or split_column"),
        ({"order_by": "gap"}, "'gap', which rows are ordered by, is missing"),
    ],
)
def test_what_rows_cannot_be_ordered_by(add, tmp_path, options, error):
    path = tmp_path / "a.csv"
    rows = "".join(f"{place},a{place % 2},{place if place else ''}\n" for place in range(30))
    path.write_text("day,name,gap\n" + rows)
    with pytest.raises(InvalidInput, match=error):
        add(path, **options)
