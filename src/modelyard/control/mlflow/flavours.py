"""What a folder that an MLflow client logged holds: its MLmodel file says so.

A flavour is a way of saving a model. Of those that a folder has, the safest that an engine here opens is taken;
where there is none, the folder is kept and refused, with the way to a safe one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelyard.types.package import FileEntry

MLMODEL: Final = "MLmodel"
LARGEST_MLMODEL: Final = 256 << 10
_PICKLES: Final = (".pkl", ".pickle", ".joblib", ".pth", ".pt", ".dill", ".cloudpickle")
_DANGER: Final = "a pickle can run any code when it is opened"
_SAFER: Final = "modelyard.log_model(model, name=...) logs any of them safely"


@dataclass(frozen=True, kw_only=True)
class Importable:
    """`path` is a file or folder of the logged folder, of an import's `format`. `signature` as MLflow wrote it:
    {"inputs": [...], "outputs": [...]}, or empty."""

    format: str
    path: str
    signature: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """`reason` says which file it is and what to do instead."""

    reason: str


def read(mlmodel: bytes | None, files: Mapping[str, FileEntry]) -> Importable | Refused:
    """What may be made of the files, by an MLmodel that may say anything."""
    if mlmodel is None:
        return Refused(reason="the folder has no MLmodel file, so nothing says what it holds; log a model with "
                              "mlflow.<framework>.log_model")  # fmt: skip
    said = _yaml(mlmodel)
    flavours = said.get("flavors")
    if not isinstance(flavours, dict):
        return Refused(reason="the MLmodel file names no flavour")
    signature = _signature(said.get("signature"))
    for name, look in _LOOKS.items():
        facts = flavours.get(name)
        if isinstance(facts, dict):
            found = look(facts, files)
            if isinstance(found, tuple):
                return Importable(format=found[0], path=found[1], signature=signature)
            return Refused(reason=found)
    return Refused(reason=_unknown(flavours, files))


_Found = tuple[str, str] | str
"""A format and a path, or why there is none."""


def _sklearn(facts: Mapping[str, Any], files: Mapping[str, FileEntry]) -> _Found:
    path = _text(facts, "pickled_model", "")
    if facts.get("serialization_format") == "skops" and path in files:
        return "skops", path
    how = _text(facts, "serialization_format", "pickle")
    return (
        f"{path or 'the model file'!r} is a pickle ({how}), and {_DANGER}. Log it again as "
        f'mlflow.sklearn.log_model(model, name=..., serialization_format="skops"), or with '
        f'mlflow.sklearn.autolog(serialization_format="skops"); {_SAFER}'
    )


def _keras(facts: Mapping[str, Any], files: Mapping[str, FileEntry]) -> _Found:
    folder = _text(facts, "data", "data")
    for path in (f"{folder}/model.keras", f"{folder}.keras"):
        if path in files:
            return "keras", path
    if f"{folder}/model/saved_model.pb" in files:
        return "savedmodel", f"{folder}/model"
    way = "log the model with mlflow.keras.log_model(model, name=...)"
    return f"there is no .keras file in {folder!r}; {way}; {_SAFER}"


def _tensorflow(facts: Mapping[str, Any], files: Mapping[str, FileEntry]) -> _Found:
    folder = _text(facts, "saved_model_dir", "")
    if folder and f"{folder}/saved_model.pb" in files:
        return "savedmodel", folder
    return _keras(facts, files)


def _pytorch(facts: Mapping[str, Any], files: Mapping[str, FileEntry]) -> _Found:
    folder = _text(facts, "model_data", "data")
    if f"{folder}/model.pt2" in files:
        return "pt2", f"{folder}/model.pt2"
    return (
        f"'{folder}/model.pth' is a pickle, and {_DANGER}. Log it again with a new MLflow as "
        f'mlflow.pytorch.log_model(model, name=..., serialization_format="pt2", input_example=...); {_SAFER}'
    )


def _onnx(facts: Mapping[str, Any], files: Mapping[str, FileEntry]) -> _Found:
    path = _text(facts, "data", "model.onnx")
    return ("onnx", path) if path in files else f"the ONNX file {path!r} is not there"


_LOOKS: Final[dict[str, Callable[[Mapping[str, Any], Mapping[str, FileEntry]], _Found]]] = {
    "onnx": _onnx,
    "keras": _keras,
    "tensorflow": _tensorflow,
    "pytorch": _pytorch,
    "sklearn": _sklearn,
}


def _text(facts: Mapping[str, Any], key: str, otherwise: str) -> str:
    value = facts.get(key)
    return value[:500] if isinstance(value, str) else otherwise


def _unknown(flavours: Mapping[str, Any], files: Mapping[str, FileEntry]) -> str:
    pickles = sorted(path for path in files if path.endswith(_PICKLES))
    names = ", ".join(sorted(str(name)[:40] for name in flavours))
    if pickles:
        return (
            f"{pickles[0]!r} is a pickle (flavours: {names}), and {_DANGER}. Log the model by its own framework's "
            f"flavour: sklearn with skops, keras, pytorch with pt2, onnx; {_SAFER}"
        )
    return f"no engine here opens its flavours ({names}); known are {', '.join(_LOOKS)}; {_SAFER}"


def _yaml(text: bytes) -> dict[str, Any]:
    """What is no YAML says nothing. The safe loader makes plain values only."""
    import yaml

    if len(text) > LARGEST_MLMODEL:
        return {}
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _signature(said: Any) -> dict[str, Any]:
    """MLflow keeps the columns as JSON in a text."""
    found: dict[str, Any] = {}
    for side in ("inputs", "outputs"):
        text = said.get(side) if isinstance(said, dict) else None
        try:
            columns = json.loads(text) if isinstance(text, str) else None
        except ValueError:
            columns = None
        if isinstance(columns, list):
            found[side] = columns
    return found
