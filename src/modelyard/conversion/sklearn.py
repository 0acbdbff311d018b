"""scikit-learn estimators and pipelines: ONNX through skl2onnx where it answers alike, else skops.

A pipeline that was fitted on a data frame and picks columns by name (ColumnTransformer) is fed column by
column, texts as they are; any other is fed a matrix. ONNX is fed float32, and held to what the estimator answers
to float64: a tree whose thresholds fall between the two is served by scikit-learn itself.
"""

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.conversion import onnx_graph
from modelyard.conversion.contract import Form, Job, Save, Subject
from modelyard.conversion.examples import enough_rows
from modelyard.engines.skops import ask
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.packages.golden import Array
from modelyard.types.package import NetRef
from modelyard.types.tensor import Signature

MATRIX: Final = "features"
_OPSET: Final = 20


def load(path: Path) -> Any:
    """A skops file. Raises NotAllowedFormat, InvalidInput, MissingExtra."""
    from modelyard.engines.skops import load_estimator

    return load_estimator(path)


def subject(model: Any, job: Job) -> Subject:
    """See `contract.Framework`. Raises InvalidInput for an estimator that was not fitted."""
    _check_fitted(model)
    inputs, columns, kinds = _inputs(model, job)
    inputs = enough_rows(inputs)
    output = _output(model)
    answers = {output: ask(model, inputs, output)}
    narrow = {name: a if a.dtype == object else a.astype(np.float32) for name, a in inputs.items()}
    tensors = _signature(narrow, answers)
    exact = Form(
        format="skops", save=_native(model), tensors=_signature(inputs, answers), golden=[(inputs, answers)]
    )
    classes = tuple(_class_name(c) for c in getattr(model, "classes_", ())) if output != "prediction" else ()
    return Subject(
        tensors=tensors,
        golden=[(narrow, answers)],
        forms=(Form(format="onnx", save=_exported(model, narrow, tensors)), exact),
        net=NetRef(name=_name(model), framework="sklearn"),
        classes=classes,
        columns=columns,
        kinds=kinds,
        answers={"probabilities": "probabilities", "label": "label"}.get(output, "value"),  # type: ignore[arg-type]
        libraries=("scikit-learn", "skl2onnx", "skops"),
    )


def _check_fitted(model: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError:
        raise InvalidInput(
            "the estimator is not fitted yet", came=type(model).__name__, allowed="after fit()"
        ) from None


def _name(model: Any) -> str:
    """Of the last step of a pipeline."""
    steps = getattr(model, "steps", None)
    return type(steps[-1][1] if steps else model).__name__


def _output(model: Any) -> str:
    if hasattr(model, "predict_proba"):
        return "probabilities"
    if hasattr(model, "classes_"):
        return "label"
    if hasattr(model, "predict"):
        return "prediction"
    if hasattr(model, "transform"):
        return "output"
    raise InvalidInput("the estimator can neither predict nor transform", came=type(model).__name__)


def _class_name(value: Any) -> str:
    from modelyard.tasks.answers import label_name

    return str(label_name(value.item() if isinstance(value, np.generic) else value))


def _inputs(model: Any, job: Job) -> tuple[dict[str, Array], tuple[str, ...], tuple[str, ...]]:
    """The example as tensors, the columns' names, and their kinds where they are fed one by one."""
    names = tuple(map(str, getattr(model, "feature_names_in_", ())))
    example: Any = job.example if job.example is not None else job.origin.rows
    if example is None:
        example = _drawn(model, names)
    if names and hasattr(example, "columns") and _needs_columns(model, example, names):
        frame = example[list(names)]
        arrays = {name: _column(frame[name]) for name in names}
        kinds = tuple("category" if a.dtype == object else "number" for a in arrays.values())
        return arrays, names, kinds
    if hasattr(example, "columns"):
        example = example[list(names)] if names else example
        names = names or tuple(map(str, example.columns))
    matrix = _matrix(example, model)
    return {MATRIX: matrix}, names if len(names) == matrix.shape[1] else (), ()


def _needs_columns(model: Any, frame: Any, names: tuple[str, ...]) -> bool:
    numeric = all(dtype.kind in "iufb" for dtype in map(_dtype, (frame[n] for n in names)))
    return not numeric or any(type(step).__name__ == "ColumnTransformer" for step in _steps(model))


def _dtype(column: Any) -> Any:
    return (
        getattr(column.dtype, "numpy_dtype", column.dtype)
        if hasattr(column.dtype, "kind")
        else np.dtype(object)
    )


def _steps(model: Any) -> list[Any]:
    return [step for _, step in getattr(model, "steps", ())] or [model]


def _column(column: Any) -> Array:
    if column.dtype.kind in "iufb":
        return np.asarray(column, np.float64).reshape(-1, 1)
    cells = np.empty((len(column), 1), object)
    cells[:, 0] = ["" if c is None or c != c else str(c).encode() for c in column.tolist()]
    cells[:, 0] = [c if isinstance(c, bytes) else b"" for c in cells[:, 0]]
    return cells


def _matrix(example: Any, model: Any) -> Array:
    try:
        matrix = np.asarray(example, np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(
            "an estimator that was fitted on arrays takes numbers",
            allowed="a data frame and a ColumnTransformer for texts",
        ) from None
    matrix = matrix.reshape(len(matrix), -1) if matrix.ndim > 2 else matrix
    width = int(getattr(model, "n_features_in_", matrix.shape[-1] if matrix.ndim == 2 else -1))
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise InvalidInput(
            "the example has other features than the estimator",
            came=list(matrix.shape),
            allowed=f"[rows, {width}]",
        )
    return matrix


def _drawn(model: Any, names: tuple[str, ...]) -> Array:
    """Seeded rows, where there is no example: only an estimator of numbers can be asked so."""
    width = getattr(model, "n_features_in_", None)
    if width is None or any(type(step).__name__ == "ColumnTransformer" for step in _steps(model)):
        raise InvalidInput(
            "nothing says what the estimator takes", allowed="example=x_test, as it was fitted with"
        )
    return np.random.default_rng(0).normal(size=(64, int(width)))


def _signature(inputs: Mapping[str, Array], answers: Mapping[str, Array]) -> Signature:
    return Signature(
        inputs=tuple(onnx_graph.spec_of(name, a) for name, a in inputs.items()),
        outputs=tuple(onnx_graph.spec_of(name, a) for name, a in answers.items()),
    )


def _exported(model: Any, inputs: Mapping[str, Array], tensors: Signature) -> Save:
    def save(folder: Path) -> str:
        (folder / "model.onnx").write_bytes(_to_onnx(model, inputs, tensors))
        return "model.onnx"

    return save


def _native(model: Any) -> Save:
    def save(folder: Path) -> str:
        try:
            import skops.io as skops
        except ImportError as error:
            raise MissingExtra("skops", "sklearn") from error
        skops.dump(model, folder / "model.skops")
        return "model.skops"

    return save


def _to_onnx(model: Any, inputs: Mapping[str, Array], tensors: Signature) -> bytes:
    try:
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    except ImportError as error:
        raise MissingExtra("skl2onnx", "sklearn") from error
    types = [
        (name, (StringTensorType if a.dtype == object else FloatTensorType)([None, a.shape[1]]))
        for name, a in inputs.items()
    ]
    output = tensors.outputs[0].name
    classifier = output in ("probabilities", "label")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scikit-learn deprecates and skl2onnx reads
        convert = partial(skl2onnx.to_onnx, model, initial_types=types, target_opset=_OPSET)
        try:
            converted = convert(options={id(model): {"zipmap": False}} if classifier else None)
        except NameError:  # how it says that this classifier has no such option
            converted = convert()
    _keep(converted.graph, classifier and output == "probabilities")
    onnx_graph.rename(converted, {converted.graph.output[0].name: output})
    if output == "prediction" and len(tensors.outputs[0].shape) == 1:
        _flatten(converted.graph, output)
    data: bytes = converted.SerializeToString()
    return data


def _keep(graph: Any, last: bool) -> None:
    """One output: of a classifier's two, its label or its probabilities."""
    kept = graph.output[-1 if last else 0]
    names = [o.name for o in graph.output if o.name != kept.name]
    for output in [o for o in graph.output if o.name in names]:
        graph.output.remove(output)


def _flatten(graph: Any, output: str) -> None:
    """[rows, 1] as [rows], which is how a regressor of one target answers."""
    from onnx import TensorProto, helper, numpy_helper

    inner = f"{output}_column"
    for node in graph.node:
        node.output[:] = [inner if name == output else name for name in node.output]
    graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "modelyard_flat"))
    graph.node.append(helper.make_node("Reshape", [inner, "modelyard_flat"], [output]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows"]))
