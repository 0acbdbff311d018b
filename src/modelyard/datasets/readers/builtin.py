"""Data sets that need no file.

digits, wine, breast-cancer, iris and diabetes are scikit-learn's bundled copies of the UCI sets;
fashion-mnist (Xiao, Rasul and Vollgraf 2017) is read from Debian's package dataset-fashion-mnist."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.datasets.entries import Entry
from modelyard.datasets.readers import Reader
from modelyard.datasets.readers.memory import ArrayPart, ArrayReader
from modelyard.errors import InvalidInput, MissingExtra

FASHION_MNIST_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_CLASSES: Final = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
GREY_STEP: Final = 15
"""The digits have 17 levels of grey, 0 to 16; times 15 they are 0 to 240, so that every level keeps its own
byte."""


def open_builtin(name: str) -> Reader:
    """`name` is one of BUILTIN. Raises MissingExtra without scikit-learn, InvalidInput without the Debian
    package."""
    return _OPENERS[name]()


def _digits() -> Reader:
    bunch = _sklearn().load_digits()
    pixels = (bunch.images * GREY_STEP).astype(np.uint8)
    part = ArrayPart(columns={"image": pixels, "label": bunch.target.astype(str)})
    return ArrayReader(parts=[part], kinds={"image": "image", "label": "category"}, label="label")


def _table(loader: str) -> Callable[[], Reader]:
    def opened() -> Reader:
        bunch = getattr(_sklearn(), loader)()
        columns = _features(bunch) | {"label": bunch.target_names[bunch.target]}
        return ArrayReader(parts=[ArrayPart(columns=columns)], kinds={"label": "category"}, label="label")

    return opened


def _diabetes() -> Reader:
    # The raw values: scikit-learn's scaled ones were centred over all rows, test rows among them.
    bunch = _sklearn().load_diabetes(scaled=False)
    columns = _features(bunch) | {"target": bunch.target}
    return ArrayReader(parts=[ArrayPart(columns=columns)], kinds={"target": "number"}, label="target")


def _fashion_mnist() -> Reader:
    from modelyard.datasets.readers.idx import open_entries

    files = sorted(FASHION_MNIST_FOLDER.glob("*ubyte*")) if FASHION_MNIST_FOLDER.is_dir() else []
    if not files:
        raise InvalidInput(
            "fashion-mnist is not on this machine; install it with: apt-get install dataset-fashion-mnist"
        )
    entries = [Entry.of_file(file) for file in files]
    return open_entries(entries, class_names=FASHION_MNIST_CLASSES)


def _features(bunch: Any) -> dict[str, np.ndarray[Any, Any]]:
    names = [str(name) for name in bunch.feature_names]
    return {name: bunch.data[:, index] for index, name in enumerate(names)}


def _sklearn() -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingExtra("scikit-learn", "sklearn") from error
    return datasets


_OPENERS: Final[dict[str, Callable[[], Reader]]] = {
    "breast-cancer": _table("load_breast_cancer"),
    "diabetes": _diabetes,
    "digits": _digits,
    "fashion-mnist": _fashion_mnist,
    "iris": _table("load_iris"),
    "wine": _table("load_wine"),
}
