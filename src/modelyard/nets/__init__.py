"""Nets: architectures and estimators. One file and one line here each.

To add a net: write `nets/<name>.py` with a `NET` (see `contract.Net`), and add its line.
"""

import importlib
from typing import Final

from modelyard.errors import InvalidInput, UnknownName
from modelyard.nets.contract import Net, Shape

__all__ = ["NETS", "Net", "Shape", "load", "load_for", "taking"]

NETS: Final[dict[str, str]] = {
    "mlp": "modelyard.nets.mlp",
    "cnn": "modelyard.nets.cnn",
    "resnet": "modelyard.nets.resnet",
    "vit": "modelyard.nets.vit",
    "efficientnet_lite": "modelyard.nets.efficientnet_lite",
    "vae": "modelyard.nets.vae",
    "gan": "modelyard.nets.gan",
    "text_vae": "modelyard.nets.text_vae",
    "crnn": "modelyard.nets.crnn",
    "gpt": "modelyard.nets.gpt",
    "seq2seq_transformer": "modelyard.nets.seq2seq_transformer",
    "seq2seq_rnn": "modelyard.nets.seq2seq_rnn",
    "yolo": "modelyard.nets.yolo",
    "ssd": "modelyard.nets.ssd",
    "linear_regression": "modelyard.nets.linear_regression",
    "polynomial_regression": "modelyard.nets.polynomial_regression",
    "logistic_regression": "modelyard.nets.logistic_regression",
    "svm": "modelyard.nets.svm",
    "decision_tree": "modelyard.nets.decision_tree",
    "random_forest": "modelyard.nets.random_forest",
    "gradient_boosting": "modelyard.nets.gradient_boosting",
    "matrix_factorization": "modelyard.nets.matrix_factorization",
    "ncf": "modelyard.nets.ncf",
    "item_knn": "modelyard.nets.item_knn",
    "user_knn": "modelyard.nets.user_knn",
    "popularity": "modelyard.nets.popularity",
    "histogram_gradient_boosting": "modelyard.nets.histogram_gradient_boosting",
    "k_nearest_neighbors": "modelyard.nets.k_nearest_neighbors",
    "naive_bayes": "modelyard.nets.naive_bayes",
    "seasonal_naive": "modelyard.nets.seasonal_naive",
    "linear_forecast": "modelyard.nets.linear_forecast",
    "lstm_forecast": "modelyard.nets.lstm_forecast",
    "embedding_bag": "modelyard.nets.embedding_bag",
    "lstm": "modelyard.nets.lstm",
    "transformer_encoder": "modelyard.nets.transformer_encoder",
    "minilm": "modelyard.nets.minilm",
    "tfidf_logistic_regression": "modelyard.nets.tfidf_logistic_regression",
    "tfidf_svm": "modelyard.nets.tfidf_svm",
    "word2vec": "modelyard.nets.word2vec",
    "glove": "modelyard.nets.glove",
}
"""Net name -> the module that has it as NET."""


def load(name: str) -> Net:
    """The net of this name. Raises UnknownName with the nearest."""
    if name not in NETS:
        raise UnknownName("net", name, NETS)
    net: Net = importlib.import_module(NETS[name]).NET
    return net


def taking(task: str) -> list[str]:
    """Names of the nets that take a task."""
    return [name for name in NETS if task in load(name).tasks]


def load_for(name: str, task: str) -> Net:
    """The net of this name, if it takes the task. Raises UnknownName, or InvalidInput naming those that
    do."""
    net = load(name)
    if task not in net.tasks:
        raise InvalidInput(f"net {name!r} does not take the task", came=task, allowed=taking(task))
    return net
