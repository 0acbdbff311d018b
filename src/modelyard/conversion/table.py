"""Which file makes a package of what."""

import importlib
from typing import Any, Final, cast

from modelyard.conversion.contract import Framework, Loader
from modelyard.errors import InvalidInput, UnknownName

FRAMEWORKS: Final[dict[str, str]] = {
    "onnx.onnx_ml_pb2.ModelProto": "modelyard.conversion.onnx",
    "transformers.modeling_utils.PreTrainedModel": "modelyard.conversion.transformers",
    "transformers.pipelines.base.Pipeline": "modelyard.conversion.transformers",
    "sentence_transformers.sentence_transformer.model.SentenceTransformer": "modelyard.conversion.transformers",
    "sentence_transformers.SentenceTransformer.SentenceTransformer": "modelyard.conversion.transformers",
    "keras.src.models.model.Model": "modelyard.conversion.keras",
    "tensorflow.python.module.module.Module": "modelyard.conversion.tensorflow",
    "tensorflow.python.trackable.base.Trackable": "modelyard.conversion.tensorflow",
    "torch.nn.modules.module.Module": "modelyard.conversion.torch",
    "sklearn.base.BaseEstimator": "modelyard.conversion.sklearn",
}
"""A base class of a live model -> the module with `subject`. The first that fits is taken, so that no library is
imported to find out."""

FORMATS: Final[dict[str, str]] = {
    "onnx": "modelyard.conversion.onnx",
    "keras": "modelyard.conversion.keras",
    "savedmodel": "modelyard.conversion.tensorflow",
    "safetensors": "modelyard.conversion.transformers",
    "pt2": "modelyard.conversion.torch",
    "skops": "modelyard.conversion.sklearn",
    "openvino": "modelyard.conversion.openvino",
}
"""A file's format -> the module with `load`, whose result its `subject` takes."""


def framework_of(model: Any) -> Framework:
    """Raises InvalidInput for what no framework here made."""
    if isinstance(model, tuple) and model:  # a Hugging Face model and its tokenizer
        return _with_tokenizer(model[0])
    bases = _bases(model)
    for base, module in FRAMEWORKS.items():
        if base in bases:
            return cast(Framework, importlib.import_module(module))
    raise InvalidInput(
        "this is no model that can be packaged",
        came=f"{type(model).__module__}.{type(model).__qualname__}",
        allowed="torch.nn.Module, keras.Model, a TensorFlow SavedModel, a fitted scikit-learn estimator or"
        " pipeline, onnx.ModelProto, a Hugging Face model",
    )


def _bases(model: Any) -> set[str]:
    return {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}


def _with_tokenizer(model: Any) -> Framework:
    if "transformers.modeling_utils.PreTrainedModel" not in _bases(model):
        raise InvalidInput(
            "a tokenizer goes with a Hugging Face model",
            came=f"{type(model).__module__}.{type(model).__qualname__}",
            allowed="transformers.PreTrainedModel",
        )
    return cast(Framework, importlib.import_module(FRAMEWORKS["transformers.modeling_utils.PreTrainedModel"]))


def loader_of(format: str) -> Any:
    """The module (a Loader and a Framework). Raises UnknownName."""
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    return cast(Loader, importlib.import_module(FORMATS[format]))
