"""Nets of texts: padding and company change no answer, and the parts do what the papers say."""

from typing import Any

import numpy as np
import pytest
import torch

from modelyard import nets
from modelyard.errors import InvalidInput
from modelyard.nets import Shape
from modelyard.nets.tokens import WordGroups, mean_of
from modelyard.tasks.contract import Examples
from modelyard.types.tensor import TensorSpec

WORDS, CLASSES = 50, 3
PREPROCESSING = {"vocabulary": WORDS, "max_length": 16, "pad_id": 0, "unknown_id": 1}
TOKENS = tuple(TensorSpec(name=n, datatype="INT64", shape=(-1, -1)) for n in ("input_ids", "attention_mask"))
CHOICES: list[tuple[str, dict[str, Any]]] = [
    ("embedding_bag", {"buckets": 100, "word_groups": 2}),
    ("embedding_bag", {"word_groups": 1}),
    ("lstm", {"hidden": 8}),
    ("lstm", {"hidden": 8, "layers": 2, "cell": "gru"}),
    ("lstm", {"hidden": 8, "bidirectional": False}),
    ("transformer_encoder", {"width": 16, "hidden": 16}),
    ("tfidf_logistic_regression", {"buckets": 100}),
    ("tfidf_svm", {"buckets": 100, "word_groups": 1}),
]


def shape(output: TensorSpec | None = None) -> Shape:
    classes = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, CLASSES))
    return Shape(inputs=TOKENS, outputs=(output or classes,), preprocessing=PREPROCESSING)


def texts(rows: int, longest: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest + 1, rows)
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    return torch.from_numpy(random.integers(2, WORDS, (rows, longest)) * mask), torch.from_numpy(mask)


def built(name: str, config: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    net = nets.load(name)
    module = net.build(net.config(**config), shape()).eval()
    if hasattr(module, "solve"):
        ids, mask = texts(60, 12, seed=1)
        targets = torch.arange(60) % CLASSES
        ids[:, 0] = 2 + targets  # the first word says the class
        module.solve({"input_ids": ids, "attention_mask": mask}, {"target": targets})
    return module


@pytest.mark.parametrize(
    ("name", "config"), CHOICES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_text_is_answered_alike_alone_and_in_any_company(name: str, config: dict[str, Any]) -> None:
    module = built(name, config)
    ids, mask = texts(9, 14)
    together = module(ids, mask)
    assert together.shape == (9, CLASSES)
    for row in range(9):
        length = int(mask[row].sum())
        alone = module(ids[row : row + 1, :length], mask[row : row + 1, :length])
        assert torch.allclose(together[row], alone[0], atol=1e-5)
    ids[mask == 0] = 7  # what stands behind the end is not read
    assert torch.allclose(module(ids, mask), together, atol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "transformer_encoder", "embedding_bag"])
def test_the_order_of_words_counts(name: str) -> None:
    module = built(name, {"dropout": 0} | ({"word_groups": 2} if name == "embedding_bag" else {}))
    ids, mask = torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.int64)
    assert not torch.allclose(module(ids, mask), module(ids.flip(1), mask), atol=1e-6)


def test_a_text_is_read_from_its_own_end() -> None:
    """The backward layer of a padded text is that of the text alone, by torch's own bidirectional LSTM."""
    module = built("lstm", {"hidden": 8, "width": 4})
    whole = torch.nn.LSTM(4, 8, batch_first=True, bidirectional=True)
    state = {f"{name}": value for name, value in module.forwards[0].state_dict().items()}
    state |= {f"{name}_reverse": value for name, value in module.backwards[0].state_dict().items()}
    whole.load_state_dict(state)
    ids, mask = texts(5, 9)
    for row in range(5):
        own = ids[row : row + 1, : int(mask[row].sum())]
        hidden, _ = whole(module.vectors(own))
        expected = module.last(torch.cat([hidden.max(dim=1).values, hidden.mean(dim=1)], dim=-1))
        assert torch.allclose(module(ids, mask)[row], expected[0], atol=1e-5)


def test_groups_of_words_end_with_the_text() -> None:
    ids, mask = torch.tensor([[5, 6, 7, 0]]), torch.tensor([[1, 1, 1, 0]])
    numbers, present = WordGroups(3, 1000, WORDS)(ids, mask)
    assert numbers.shape == (1, 3, 4)
    assert present[0].tolist() == [[True] * 3 + [False], [True] * 2 + [False] * 2, [True] + [False] * 3]
    assert numbers[0, 0].tolist() == [5, 6, 7, 0]
    assert (numbers[0, 1:] >= WORDS).all()
    assert numbers[0, 1, 0] != numbers[0, 1, 1]


def test_pairs_of_words_are_spread_over_the_buckets() -> None:
    one, other = torch.meshgrid(torch.arange(300), torch.arange(300), indexing="ij")
    pairs = torch.stack([one.flatten(), other.flatten()], dim=1)
    for buckets in (100_000, 131_072, 99_991):
        numbers, _ = WordGroups(2, buckets, 0)(pairs, torch.ones_like(pairs))
        used = len(numbers[:, 1, 0].unique())
        assert used > 0.95 * buckets * (1 - np.exp(-len(pairs) / buckets))  # what chance would use


def test_tfidf_is_that_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    module = built("tfidf_logistic_regression", {"word_groups": 1, "min_texts": 1})
    ids, mask = texts(60, 12, seed=1)
    ids[:, 0] = 2 + torch.arange(60) % CLASSES
    words = [
        " ".join(f"w{k}" for k in row[: int(n)]) for row, n in zip(ids.tolist(), mask.sum(1), strict=True)
    ]
    names = [f"w{k}" for k in range(WORDS)]
    expected = TfidfVectorizer(sublinear_tf=True, vocabulary=names).fit_transform(words).toarray()
    numbers, shares = module.shares(ids, mask)
    found = torch.zeros(60, WORDS).scatter_add_(1, numbers, shares).numpy()
    assert np.abs(found - expected).max() < 1e-6


def test_the_solvers_learn_what_is_plain() -> None:
    for name in ("tfidf_logistic_regression", "tfidf_svm"):
        module = built(name, {"c": 10.0})
        ids, mask = texts(30, 6, seed=5)
        ids[ids <= 1 + CLASSES] = 30
        ids[:, 0] = 2 + torch.arange(30) % CLASSES
        assert (module(ids, mask).argmax(dim=1) == torch.arange(30) % CLASSES).float().mean() > 0.8


@pytest.mark.parametrize("name", ["tfidf_logistic_regression", "tfidf_svm"])
def test_classes_that_training_has_not_seen_are_answered_with_little(name: str) -> None:
    net = nets.load(name)
    module = net.build(net.config(word_groups=1), shape())
    ids, mask = texts(40, 6)
    targets = torch.arange(40) % 2
    module.solve({"input_ids": ids, "attention_mask": mask}, {"target": targets})
    assert (module(ids, mask).softmax(dim=1)[:, 2] < 1e-6).all()
    with pytest.raises(InvalidInput, match="one class"):
        module.solve(
            {"input_ids": ids, "attention_mask": mask}, {"target": torch.zeros(40, dtype=torch.int64)}
        )


def test_heads_share_the_width_evenly() -> None:
    net = nets.load("transformer_encoder")
    with pytest.raises(InvalidInput, match=r"multiple of net\.heads"):
        net.build(net.config(width=10, heads=4), shape())


def vectors(name: str, **config: Any) -> Any:
    torch.manual_seed(0)
    net = nets.load(name)
    embedding = TensorSpec(name="embedding", datatype="FP32", shape=(-1, 4))
    return net.build(net.config(**config), shape(embedding))


@pytest.mark.parametrize("name", ["word2vec", "glove"])
def test_a_text_is_the_mean_of_its_words(name: str) -> None:
    module = vectors(name).eval()
    ids = torch.tensor([[5, 6, 1, 0], [5, 7, 0, 0], [1, 0, 0, 0]])
    signs = torch.tensor([[1, 1, 1, 0], [1, -1, 0, 0], [1, 0, 0, 0]])
    found = module.answer(ids, signs)["embedding"]
    assert torch.allclose(found[0], (module.vectors[5] + module.vectors[6]) / 2)
    assert torch.allclose(found[1], (module.vectors[5] - module.vectors[7]) / 2)
    assert found[2].tolist() == [0, 0, 0, 0]
    assert mean_of(torch.ones(1, 2, 3), torch.zeros(1, 2)).tolist() == [[0, 0, 0]]


def examples() -> Examples:
    ids = np.array([[2, 3, 4], [2, 3, 0], [3, 1, 2]])
    return Examples(inputs={"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)})


def test_glove_counts_pairs_by_their_distance() -> None:
    every, held_out = vectors("glove", least=0.1).material(examples(), None)
    assert held_out is None
    found = dict(zip(map(tuple, every.inputs["pair"].tolist()), every.inputs["count"].tolist(), strict=True))
    assert found == {
        (2, 3): 2.5,
        (3, 4): 1.0,
        (2, 4): 0.5,
    }  # of [UNK] nothing is learnt, but it keeps its place
    some, held_out = vectors("glove", least=0.1).material(examples(), examples())
    assert len(some) + len(held_out) == 3


def test_glove_has_no_loss_where_products_are_logarithms() -> None:
    module = vectors("glove", limit=1.0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    pair, one = torch.tensor([[2, 3]], dtype=torch.int32), torch.tensor([1.0])
    with torch.no_grad():
        assert float(module.loss({"pair": pair, "count": one}, {})["loss"]) == 0
        assert float(module.loss({"pair": pair, "count": one * np.e}, {})["loss"]) == pytest.approx(1)


def test_word2vec_draws_noise_by_frequency_and_leaves_frequent_words_out() -> None:
    module = vectors("word2vec", subsample=0.1, shared=4000)
    module.material(examples(), None)
    weights = np.array([3, 3, 1]) ** 0.75
    drawn = torch.bincount(module._noise(), minlength=WORDS).numpy()
    assert drawn[[0, 1]].sum() == 0 == drawn[5:].sum()
    assert drawn[2:5] / 4000 == pytest.approx(weights / weights.sum(), abs=0.03)
    assert module.kept[2] == pytest.approx((0.1 / (3 / 7)) ** 0.5)


def test_word2vec_learns_neighbours() -> None:
    """Words of one half of the vocabulary stand together, those of the other half too."""
    random = np.random.default_rng(0)
    half = np.repeat([0, 1], 200)[:, None] * 24
    ids = torch.from_numpy(random.integers(2, 26, (400, 8)) + half)
    module = vectors("word2vec", subsample=0, shared=64)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    module.material(Examples(inputs={name: value.numpy() for name, value in given.items()}), None)
    optimizer = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = module.loss(given, {})["loss"]
        loss.backward()
        optimizer.step()
    units = torch.nn.functional.normalize(module.vectors.detach()[2:], dim=1)
    same = (torch.arange(48) < 24)[:, None] == (torch.arange(48) < 24)[None, :]
    cosines = units @ units.T
    nearest = cosines.fill_diagonal_(-1).topk(5, dim=1).indices
    assert same.gather(1, nearest).float().mean() > 0.9
