"""The data sets that need no file."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets as bundled

from modelyard.datasets.readers import builtin
from modelyard.errors import InvalidInput, MissingExtra, UnknownName


def test_digits_keep_every_grey_level(add):
    version = add(builtin="digits")
    read = version.columns()
    images = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in read["image"]])
    source = bundled.load_digits()
    assert np.array_equal(images, source.images * 15)
    assert read["label"].tolist() == [str(label) for label in source.target]
    assert version.manifest.class_names == tuple("0123456789")
    assert version.manifest.split_rows == {"train": 1437, "validation": 180, "test": 180}
    assert add(builtin="digits").digest == version.digest


@pytest.mark.parametrize(
    ("name", "rows", "classes"),
    [
        ("wine", 178, ("class_0", "class_1", "class_2")),
        ("breast-cancer", 569, ("benign", "malignant")),
        ("iris", 150, ("setosa", "versicolor", "virginica")),
    ],
)
def test_tables_with_classes(add, name, rows, classes):
    version = add(builtin=name)
    assert (version.manifest.rows, version.manifest.class_names) == (rows, classes)
    assert version.manifest.schema.label == "label"


def test_diabetes_is_raw_and_for_regression(add):
    version = add(builtin="diabetes")
    source = bundled.load_diabetes(scaled=False)
    assert version.manifest.schema.column("target").kind == "number"
    assert version.manifest.class_names == ()
    assert np.array_equal(version.columns()["bmi"], source.data[:, 2])
    assert np.array_equal(version.columns()["target"], source.target)


def test_an_unknown_name_names_the_nearest(add):
    with pytest.raises(UnknownName, match="unknown built-in data set 'digit'; did you mean 'digits'"):
        add(builtin="digit")


def test_without_scikit_learn_the_extra_is_named(add, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"pip install 'modelyard\[sklearn\]'"):
        add(builtin="wine")


def test_without_the_debian_package_its_command_is_named(add, monkeypatch, tmp_path):
    monkeypatch.setattr(builtin, "FASHION_MNIST_FOLDER", tmp_path / "absent")
    with pytest.raises(InvalidInput, match="apt-get install dataset-fashion-mnist"):
        add(builtin="fashion-mnist")


@pytest.mark.fashion_mnist
def test_fashion_mnist(add):
    version = add(builtin="fashion-mnist")
    assert version.manifest.split_rows == {"train": 54_000, "validation": 6000, "test": 10_000}
    assert len(version.manifest.class_names) == 10
    assert "T-shirt/top" in version.manifest.class_names
    assert version.profile.class_balance["validation"] == dict.fromkeys(version.manifest.class_names, 600)
    test = version.columns("test")
    first = np.asarray(Image.open(io.BytesIO(test["image"][0])))
    assert (first.shape, test["label"][0]) == ((28, 28), "Ankle boot")
