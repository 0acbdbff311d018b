"""A scikit-learn estimator as ONNX: skl2onnx's graph between our own first and last nodes.

Ours are what the engine's tensors need: pixels to normalised float32 rows in front; behind, the columns of
classes that the training split did not have, or the target's own unit.
"""

import warnings
from typing import Any

import numpy as np

from modelyard.errors import MissingExtra
from modelyard.training.job import Job

_ROWS = "modelyard_rows"
_RAW = "modelyard_raw"


def to_onnx(estimator: Any, job: Job) -> bytes:
    """The bytes of model.onnx, from the engine's input to its output. Raises MissingExtra."""
    try:
        import onnx
        import onnx.compose
    except ImportError as error:
        raise MissingExtra("onnx", "sklearn") from error
    # Prefixed, so that no name of theirs is one of ours or of the engine's.
    model = onnx.compose.add_prefix(_converted(estimator, job), "sklearn/")
    graph = model.graph
    first, constants = _first_nodes(job)
    answer = graph.output[-1].name  # of a classifier: after its labels
    last, more_constants = _last_nodes(estimator, job, answer)
    nodes = [*first, *_renamed(graph.node, graph.input[0].name, _ROWS), *last]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*constants, *more_constants])
    for side, spec in ((graph.input, job.shape.input), (graph.output, job.shape.output)):
        kind = onnx.TensorProto.UINT8 if spec.datatype == "UINT8" else onnx.TensorProto.FLOAT
        side.append(onnx.helper.make_tensor_value_info(spec.name, kind, ["rows", *spec.shape[1:]]))
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _converted(estimator: Any, job: Job) -> Any:
    try:
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType
    except ImportError as error:
        raise MissingExtra("skl2onnx", "sklearn") from error
    options = None if job.shape.classes is None else {id(estimator): {"zipmap": False}}
    kind = FloatTensorType([None, job.shape.width])
    _round_thresholds(estimator)
    with warnings.catch_warnings():
        # skl2onnx reads attributes of SVC that scikit-learn 1.9 deprecates; calibration does not.
        warnings.filterwarnings("ignore", message="Attribute `prob[AB]_`", category=FutureWarning)
        # And it writes booleans where a histogram's trees need 0 and 1, which protobuf will take until version 7.
        warnings.filterwarnings(
            "ignore", message=".*Expected an int, got a boolean", category=DeprecationWarning
        )
        return skl2onnx.to_onnx(estimator, initial_types=[("rows", kind)], options=options)


def _round_thresholds(estimator: Any) -> None:
    """A histogram's trees compare with thresholds in float64, the graph's with theirs rounded to float32, which may
    be the next feature's value: rows then go the other way. Rounded down, float32 features compare alike with
    both."""
    for round_ in getattr(estimator, "_predictors", ()):
        for predictor in round_:
            exact = predictor.nodes["num_threshold"]
            rounded = exact.astype(np.float32)
            down = np.nextafter(rounded, np.float32(-np.inf))
            predictor.nodes["num_threshold"] = np.where(rounded > exact, down, rounded).astype(np.float64)


def _renamed(nodes: Any, old: str, new: str) -> list[Any]:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
    return list(nodes)


def _first_nodes(job: Job) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, numpy_helper
    from onnx.helper import make_node

    name = job.shape.input.name
    if not job.shape.is_image:
        return [make_node("Identity", [name], [_ROWS])], []
    mean, std = (np.array(job.shape.preprocessing[k], dtype=np.float32) for k in ("mean", "std"))
    nodes = [
        make_node("Cast", [name], ["modelyard_float"], to=TensorProto.FLOAT),
        make_node("Sub", ["modelyard_float", "modelyard_mean"], ["modelyard_centered"]),
        make_node("Div", ["modelyard_centered", "modelyard_std"], ["modelyard_scaled"]),
        make_node("Flatten", ["modelyard_scaled"], [_ROWS], axis=1),
    ]
    pairs = (("modelyard_mean", mean), ("modelyard_std", std))
    return nodes, [numpy_helper.from_array(value, constant) for constant, value in pairs]


def _last_nodes(estimator: Any, job: Job, answer: str) -> tuple[list[Any], list[Any]]:
    from onnx import numpy_helper
    from onnx.helper import make_node

    name, classes = job.shape.output.name, job.shape.classes
    if classes is None:
        mean, std = (np.array(v, dtype=np.float32) for v in job.target_scale)
        nodes = [
            make_node("Reshape", [answer, "modelyard_flat"], [_RAW]),
            make_node("Mul", [_RAW, "modelyard_target_std"], ["modelyard_spread"]),
            make_node("Add", ["modelyard_spread", "modelyard_target_mean"], [name]),
        ]
        values = {
            "modelyard_flat": np.array([-1], dtype=np.int64),
            "modelyard_target_std": std,
            "modelyard_target_mean": mean,
        }
        return nodes, [numpy_helper.from_array(value, constant) for constant, value in values.items()]
    if len(estimator.classes_) == classes:
        return [make_node("Identity", [answer], [name])], []
    places = np.zeros((len(estimator.classes_), classes), dtype=np.float32)
    places[np.arange(len(estimator.classes_)), estimator.classes_] = 1
    nodes = [make_node("MatMul", [answer, "modelyard_places"], [name])]
    return nodes, [numpy_helper.from_array(places, "modelyard_places")]
