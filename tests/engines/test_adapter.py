"""Between a task's arrays and the tensors of a model that was brought."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelyard.engines.adapter import Adapted
from modelyard.errors import InvalidInput
from modelyard.types.package import Adapter, InputAdapter, OutputAdapter
from modelyard.types.tensor import Signature, TensorSpec

PIXELS = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)


def adapted(feed: InputAdapter, answer: OutputAdapter, datatype: str = "FP32") -> Adapted:
    tensors = Signature(
        inputs=(TensorSpec(name=feed.name, datatype=datatype, shape=(-1, -1)),),
        outputs=(TensorSpec(name=answer.source, datatype="FP32", shape=(-1, -1)),),
    )
    return Adapted(Adapter(inputs=(feed,), outputs=(answer,)), tensors)


def fed(layout: str, images: np.ndarray = PIXELS, **fields: object) -> np.ndarray:
    feed = InputAdapter(name="x", sources=("image",), layout=layout, **fields)  # type: ignore[arg-type]
    return adapted(feed, OutputAdapter(name="y", source="y")).feed({"image": images})["x"]


def answered(activation: str, values: object, classes: tuple[str, ...] = ()) -> np.ndarray:
    answer = OutputAdapter(name="out", source="y", activation=activation, classes=classes)  # type: ignore[arg-type]
    feed = InputAdapter(name="x", sources=("x",))
    return adapted(feed, answer).answer({"y": np.asarray(values)})["out"]


def test_pixels_stand_as_the_model_takes_them() -> None:
    assert fed("NHWC").shape == (2, 3, 4, 3)
    assert np.array_equal(fed("NCHW"), PIXELS.transpose(0, 3, 1, 2).astype(np.float32))
    assert np.array_equal(fed("NHW", PIXELS[..., :1]), PIXELS[..., 0].astype(np.float32))
    assert np.array_equal(fed("flat"), PIXELS.reshape(2, -1).astype(np.float32))
    assert fed("NCHW").flags.c_contiguous


def test_pixels_are_scaled_by_channel_before_they_are_turned() -> None:
    found = fed("NCHW", mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0))
    expected = ((PIXELS.astype(np.float32) - [1, 2, 3]) / [2, 4, 8]).transpose(0, 3, 1, 2)
    assert np.allclose(found, expected)
    assert found.dtype == np.float32


def test_pixels_that_the_model_takes_as_bytes_stay_bytes() -> None:
    feed = InputAdapter(name="x", sources=("image",), layout="NHWC")
    found = adapted(feed, OutputAdapter(name="y", source="y"), "UINT8").feed({"image": PIXELS})["x"]
    assert found.dtype == np.uint8


def test_columns_stand_side_by_side_in_the_order_of_the_model() -> None:
    feed = InputAdapter(name="x", sources=("b", "a"), layout="columns")
    box = adapted(feed, OutputAdapter(name="y", source="y"))
    assert box.feed({"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])})["x"].tolist() == [[3, 1], [4, 2]]
    with pytest.raises(InvalidInput, match="same number of rows"):
        box.feed({"a": np.array([1.0]), "b": np.array([3.0, 4.0])})
    with pytest.raises(InvalidInput, match="an input is missing"):
        box.feed({"a": np.array([1.0])})


def test_what_answers_mean() -> None:
    assert np.allclose(answered("softmax", [[1000.0, 1000.0], [0.0, np.log(3)]]), [[0.5, 0.5], [0.25, 0.75]])
    assert np.allclose(answered("sigmoid", [[0.0], [1e9], [-1e9]]), [[0.5, 0.5], [0, 1], [1, 0]])
    assert np.allclose(answered("binary", [[0.25]]), [[0.75, 0.25]])
    assert answered("flat", [[1.5], [2.5]]).tolist() == [1.5, 2.5]
    assert answered("label", np.array([2, 7]), ("7", "2")).tolist() == [[0, 1], [1, 0]]
    assert answered("label", np.array([b"a", b"b"], object), ("a", "b")).tolist() == [[1, 0], [0, 1]]


_SHAPES = st.tuples(st.integers(1, 4), st.integers(2, 5))


@given(arrays.arrays(np.float32, _SHAPES, elements=st.floats(-1e6, 1e6, width=32)))
def test_softmax_gives_probabilities_of_any_finite_logits(logits: np.ndarray) -> None:
    found = answered("softmax", logits)
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    best = found[np.arange(len(found)), logits.argmax(axis=1)]
    assert (best == found.max(axis=1)).all()  # two logits that are nearly equal may give one probability
