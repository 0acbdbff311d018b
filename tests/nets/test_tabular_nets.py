"""Neighbours, naive Bayes and embeddings, beside scikit-learn's and by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from modelyard import nets
from modelyard.nets import Shape
from modelyard.nets.embeddings import Embeddings
from modelyard.types.tensor import TensorSpec


def shape(features: int, classes: int | None, preprocessing: dict[str, Any] | None = None) -> Shape:
    probabilities = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, classes or 0))
    prediction = TensorSpec(name="prediction", datatype="FP32", shape=(-1,))
    return Shape(
        inputs=(TensorSpec(name="features", datatype="FP32", shape=(-1, features)),),
        outputs=(probabilities if classes else prediction,),
        preprocessing=preprocessing or {},
    )


def solved(name: str, of: Shape, x: np.ndarray, y: np.ndarray, **config: Any) -> torch.nn.Module:
    net = nets.load(name)
    module = net.build(net.config(**config), of).eval()
    with torch.inference_mode():
        module.solve({"features": torch.from_numpy(x)}, {"target": torch.from_numpy(y)})
    return module


def rows(count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 4)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] ** 2 > 0.7).astype(np.int64)


@torch.inference_mode()
def test_uniform_neighbours_are_scikit_learns() -> None:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    x, y = rows()
    asked = torch.from_numpy(x[:50] + 0.05)
    module = solved("k_nearest_neighbors", shape(4, 2), x, y, neighbors=5, kernel="uniform")
    theirs = KNeighborsClassifier(5).fit(x, y).predict_proba(asked.numpy())
    assert np.allclose(module.answer(asked)["probabilities"].numpy(), theirs, atol=1e-6)
    numbers = x[:, 2].astype(np.float64) * 100
    module = solved("k_nearest_neighbors", shape(4, None), x, numbers, neighbors=5, kernel="uniform")
    theirs = KNeighborsRegressor(5).fit(x, numbers).predict(asked.numpy())
    assert np.allclose(module.answer(asked)["prediction"].numpy(), theirs, rtol=1e-5, atol=1e-3)


@torch.inference_mode()
def test_the_furthest_of_the_neighbours_counts_for_nothing() -> None:
    x = np.array([[0.0], [1], [2], [10]], np.float32)
    y = np.array([1.0, 2.0, 4.0, 1000.0])
    module = solved("k_nearest_neighbors", shape(1, None), x, y, neighbors=2)
    found = module.answer(torch.zeros(1, 1))["prediction"]
    assert found.tolist() == pytest.approx([(1 * 1 + 0.75 * 2) / 1.75], rel=1e-5)


@torch.inference_mode()
def test_equally_far_rows_count_alike_in_any_order() -> None:
    x = np.array([[1.0], [-1], [1], [-1], [0]], np.float32)
    y = np.array([0.0, 1, 2, 3, 9])
    for kernel in ("uniform", "epanechnikov"):
        first = solved("k_nearest_neighbors", shape(1, None), x, y, neighbors=2, kernel=kernel)
        second = solved(
            "k_nearest_neighbors", shape(1, None), x[::-1].copy(), y[::-1].copy(), neighbors=2, kernel=kernel
        )
        asked = torch.zeros(1, 1)
        assert torch.equal(first.answer(asked)["prediction"], second.answer(asked)["prediction"])


def test_neighbours_are_taken_over_from_their_weights() -> None:
    x, y = rows()
    module = solved("k_nearest_neighbors", shape(4, 2), x, y, rows=50)
    net = nets.load("k_nearest_neighbors")
    again = net.build(net.config(rows=50), shape(4, 2))
    again.load_state_dict(module.state_dict())
    assert again.x.shape == (50, 4)


@torch.inference_mode()
def test_naive_bayes_of_numbers_is_scikit_learns() -> None:
    from sklearn.naive_bayes import GaussianNB

    x, y = rows()
    module = solved("naive_bayes", shape(4, 2), x, y, variance=1e-9)
    theirs = GaussianNB(var_smoothing=1e-9).fit(x.astype(np.float64), y).predict_proba(x)
    assert np.allclose(module(torch.from_numpy(x)).softmax(dim=1).numpy(), theirs, atol=1e-5)


@torch.inference_mode()
def test_naive_bayes_of_categories_is_scikit_learns() -> None:
    from sklearn.naive_bayes import CategoricalNB

    random = np.random.default_rng(1)
    codes, y = random.integers(0, 3, size=(200, 2)), random.integers(0, 2, size=200)
    fitted = {"categories": [{"name": n, "values": ["a", "b"], "missing": False} for n in "uv"]}
    x = np.concatenate([np.eye(3, dtype=np.float32)[codes[:, k]] for k in (0, 1)], axis=1)
    module = solved("naive_bayes", shape(6, 2, fitted), x, y)
    theirs = CategoricalNB(alpha=1).fit(codes, y).predict_proba(codes)
    assert np.allclose(module(torch.from_numpy(x)).softmax(dim=1).numpy(), theirs, atol=1e-5)


@torch.inference_mode()
def test_a_class_that_training_has_not_seen_has_no_chance() -> None:
    x, y = rows()
    found = solved("naive_bayes", shape(4, 3), x, y)(torch.from_numpy(x)).softmax(dim=1)
    assert found[:, 2].max() == 0


def test_an_embedding_is_a_row_of_a_table() -> None:
    module = Embeddings(2, [4, 3], 8)
    assert module.width == 2 + 2 + 2
    features = torch.tensor([[0.5, -1.0, 0, 1, 0, 0, 0, 0, 1]])
    found = module(features)[0]
    assert found[:2].tolist() == [0.5, -1.0]
    assert torch.equal(found[2:4], module.tables[0].weight[:, 1])
    assert torch.equal(found[4:], module.tables[1].weight[:, 2])


def test_the_mlp_embeds_categories_where_it_is_asked_to() -> None:
    net = nets.load("mlp")
    fitted = {"categories": [{"name": "u", "values": list("abcde"), "missing": True}]}
    plain = net.build(net.config(), shape(9, 2, fitted))
    embedded = net.build(net.config(embedding=3), shape(9, 2, fitted))
    assert isinstance(embedded[0], Embeddings)
    assert not isinstance(plain[0], Embeddings)
    assert embedded[1].in_features == 2 + 3
    assert embedded(torch.zeros(5, 9)).shape == (5, 2)
