"""A data set version as scripts take it."""

from pathlib import Path

import numpy as np
import pytest

from modelyard.datasets import IngestOptions, ingest
from modelyard.errors import InvalidInput, UnknownName
from modelyard.runs.reporter import RunReporter
from modelyard.tracking.data import ScriptDataset


def made(folder: Path, **options: object) -> ScriptDataset:
    sources = [options.pop("source")] if "source" in options else []
    ingest(sources, IngestOptions(**options), folder, RunReporter())  # type: ignore[arg-type]
    return ScriptDataset("it:1", folder)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ScriptDataset:
    return made(tmp_path_factory.mktemp("digits") / "d", builtin="digits")


def test_images_are_bytes_and_labels_are_numbers(digits: ScriptDataset) -> None:
    arrays = digits.arrays()
    x_train, y_train, x_test, y_test = arrays
    assert x_train.dtype == np.uint8
    assert x_train.shape[1:] == (8, 8)
    assert len(x_train) + len(x_test) + len(arrays.x_validation) == 1797
    assert y_train.dtype == np.int64
    assert arrays.class_names == tuple(map(str, range(10)))
    assert len(y_test) == len(x_test)


def test_images_come_in_the_size_that_is_asked(digits: ScriptDataset) -> None:
    assert digits.arrays(size=(10, 12)).x_test.shape[1:] == (10, 12)


def test_a_table_is_a_matrix_of_float32_in_the_schemas_order(tmp_path: Path) -> None:
    data = made(tmp_path / "d", builtin="diabetes")
    x_train, y_train, _, _ = data.arrays()
    assert (x_train.dtype, x_train.shape[1], y_train.dtype) == (np.float32, 10, np.float32)


def test_texts_are_for_the_frame(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "city,size,y\n" + "".join(f"c{k % 3},{k},{'ab'[k % 2]}\n" for k in range(60))
    )
    data = made(tmp_path / "d", source=tmp_path / "t.csv", label="y")
    with pytest.raises(InvalidInput, match=r"frame\(\) gives these columns.*city"):
        data.arrays()
    frame = data.frame("train")
    assert list(frame.columns) == ["city", "size", "y"]
    assert set(frame["city"]) == {"c0", "c1", "c2"}
    whole = data.frame()
    assert len(whole) == 60
    assert set(whole["split"]) == {"train", "validation", "test"}
    with pytest.raises(UnknownName, match="split"):
        data.frame("tset")


def test_torch_loaders_give_channels_first_in_0_to_1_and_shuffle_by_seed(digits: ScriptDataset) -> None:
    torch = pytest.importorskip("torch")
    train, test = digits.torch(batch_size=32)
    x, y = next(iter(test))
    assert x.shape == (32, 1, 8, 8)
    assert 0.9 < float(x.max()) <= 1.0
    assert np.array_equal(y.numpy(), digits.arrays().y_test[:32])
    first = [next(iter(digits.torch(seed=s)[0]))[1].tolist() for s in (1, 1, 2)]
    assert first[0] == first[1] != first[2]
    assert isinstance(train, torch.utils.data.DataLoader)


@pytest.mark.slow
def test_tensorflow_datasets_give_channels_last_in_0_to_1(digits: ScriptDataset) -> None:
    pytest.importorskip("tensorflow")
    _, test = digits.tf(batch_size=16)
    x, y = next(iter(test))
    assert x.shape == (16, 8, 8, 1)
    assert np.array_equal(y.numpy(), digits.arrays().y_test[:16])


def test_a_model_can_be_told_of_its_data_once_it_was_read(digits: ScriptDataset) -> None:
    arrays = digits.arrays()
    origin = digits.origin()
    assert np.array_equal(origin.rows, arrays.x_test[:256])
    assert origin.class_names == digits.class_names


def test_a_notebook_shows_it_as_a_table_with_everything_escaped(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("<b>,y\n" + "".join(f"{k},{'ab'[k % 2]}\n" for k in range(40)))
    shown = made(tmp_path / "d", source=tmp_path / "t.csv", label="y")._repr_html_()
    assert "&lt;b&gt; (" in shown
    assert "<b>data set it:1</b>" in shown
