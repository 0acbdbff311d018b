"""PyTorch modules: ONNX by the exporter that traces with Dynamo, else by the older one, else `.pt2`.

Sources: torch.onnx.export, torch.export (PyTorch documentation). A recurrent net of a free length needs the older
exporter, which writes lengths as they come; Dynamo's would bake in the example's.
"""

import inspect
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.conversion import onnx_graph
from modelyard.conversion.contract import Form, Job, Subject
from modelyard.conversion.examples import as_arrays, enough_rows, golden_sets
from modelyard.conversion.likelihood import likely_example
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.packages.golden import Array
from modelyard.types.package import NetRef
from modelyard.types.tensor import Signature

QUIET: Final = ("onnxscript", "torch.onnx._internal.exporter._registration")


def load(path: Path) -> Any:
    """A `.pt2` file's program, as a module. Raises InvalidInput, MissingExtra."""
    from modelyard.engines.torch import load_program

    return load_program(path)


def subject(model: Any, job: Job) -> Subject:
    """See `contract.Framework`. Raises InvalidInput without an example, or for one that the module does not
    take."""
    import torch

    if isinstance(model, torch.export.ExportedProgram):
        return _program(model)
    model = _on_cpu(model)
    names = _parameter_names(model, job)
    example = enough_rows(_example(model, names, job))
    ask = _asker(model, names)
    free = {name: tuple(job.options.free_axes.get(name, ())) for name in names}
    _check_free(free, job, example)
    golden = golden_sets(example, free, ask)
    tensors = _signature(example, free, golden[0][1], golden)
    return Subject(
        tensors=tensors,
        golden=golden,
        forms=_forms(model, example, free, tensors),
        net=NetRef(name=type(model).__name__, framework="pytorch"),
        libraries=("torch", "onnxscript"),
    )


def _on_cpu(model: Any) -> Any:
    """In evaluation and in memory; the owner's own module is left as it was."""
    import copy

    return copy.deepcopy(model).cpu().eval()


def _parameter_names(model: Any, job: Job) -> list[str]:
    """Of `forward`, as many as the example has parts."""
    parameters = [
        p.name
        for p in inspect.signature(model.forward).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if isinstance(job.example, Mapping):
        unknown = sorted(set(map(str, job.example)) - set(parameters))
        if unknown:
            raise InvalidInput(
                "the example has inputs that forward() has not", came=unknown, allowed=parameters
            )
        return [name for name in parameters if name in job.example]
    count = len(job.example) if isinstance(job.example, tuple) else 1
    return parameters[:count] if len(parameters) >= count else [f"input_{k}" for k in range(count)]


def _example(model: Any, names: list[str], job: Job) -> dict[str, Array]:
    if job.example is not None:
        given = as_arrays(job.example, names)
        return {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in given.items()}
    likely = _likely(model, job)
    if likely is None:
        raise InvalidInput(
            "a PyTorch module does not say what it takes", allowed="example=x_test[:64], a tensor"
        )
    return {names[0]: likely}


def _likely(model: Any, job: Job) -> Array | None:
    """Test rows of the data set in the shape that the module takes: as they are, or channels first."""
    rows = job.origin.rows
    if rows is None:
        return None
    shapes = [rows.shape[1:]]
    if rows.ndim == 3:
        shapes = [(1, *rows.shape[1:]), rows.shape[1:], (int(np.prod(rows.shape[1:])),)]
    elif rows.ndim == 4:
        shapes = [(rows.shape[3], *rows.shape[1:3]), (int(np.prod(rows.shape[1:])),)]
    for shape in shapes:
        try:
            likely = likely_example(
                job.origin, shape, lambda x: next(iter(_asker(model, ["x"])({"x": x}).values()))
            )
        except RuntimeError:  # a shape that it does not take
            continue
        if likely is not None:
            return likely
    return None


def _asker(model: Any, names: list[str]) -> Any:
    import torch

    def ask(inputs: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            answers = model(*(torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names))
        return _named(answers)

    return ask


def _named(answers: Any) -> dict[str, Array]:
    """A tensor, a tuple of them or a dict (Hugging Face's outputs are one)."""
    import torch

    if isinstance(answers, torch.Tensor):
        return {"output": answers.numpy()}
    items = (
        answers.items()
        if isinstance(answers, Mapping)
        else ((f"output_{k}", a) for k, a in enumerate(answers))
    )
    named = {str(name): a.numpy() for name, a in items if isinstance(a, torch.Tensor)}
    if not named:
        raise InvalidInput("the module does not answer tensors", came=type(answers).__name__)
    return named


def _check_free(free: Mapping[str, tuple[int, ...]], job: Job, example: Mapping[str, Array]) -> None:
    unknown = sorted(set(job.options.free_axes) - set(free))
    if unknown:
        raise InvalidInput("free_axes names inputs that are not there", came=unknown, allowed=list(free))
    for name, axes in free.items():
        if any(axis >= example[name].ndim for axis in axes):
            raise InvalidInput(
                f"free_axes of {name!r}", came=list(axes), allowed=f"1 to {example[name].ndim - 1}"
            )


def _signature(example: Mapping[str, Array], free: Mapping[str, tuple[int, ...]], answers: Mapping[str, Array],
               golden: Any) -> Signature:  # fmt: skip
    inputs = tuple(onnx_graph.spec_of(name, a, free[name]) for name, a in example.items())
    outputs = []
    for name, array in answers.items():
        shapes = [answered[name].shape for _, answered in golden]
        loose = tuple(axis for axis in range(1, array.ndim) if len({s[axis] for s in shapes}) > 1)
        outputs.append(onnx_graph.spec_of(name, array, loose))
    return Signature(inputs=inputs, outputs=tuple(outputs))


def _forms(model: Any, example: Mapping[str, Array], free: Mapping[str, tuple[int, ...]],
           tensors: Signature) -> tuple[Form, ...]:  # fmt: skip
    import torch

    args = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in example.values())
    outputs = [t.name for t in tensors.outputs]

    def dynamo(folder: Path) -> str:
        _export(
            model,
            args,
            folder / "model.onnx",
            list(example),
            outputs,
            dynamo=True,
            dynamic_shapes=_dims(free),
        )
        return "model.onnx"

    def traced(folder: Path) -> str:
        axes = {name: {0: "rows", **{a: f"{name}_{a}" for a in free[name]}} for name in example}
        axes |= {
            t.name: {a: f"{t.name}_{a}" for a, n in enumerate(t.shape) if n == -1} for t in tensors.outputs
        }
        _export(model, args, folder / "model.onnx", list(example), outputs, dynamo=False, dynamic_axes=axes)
        return "model.onnx"

    def program(folder: Path) -> str:
        exported = torch.export.export(model, args, dynamic_shapes=_dims(free))
        torch.export.save(exported, folder / "model.pt2")
        return "model.pt2"

    forms = (Form(format="onnx", save=dynamo), Form(format="onnx", save=traced))
    recurrent = any(isinstance(m, torch.nn.RNNBase) for m in model.modules())
    if recurrent and any(free.values()):
        forms = forms[::-1]
    return (*forms, Form(format="pt2", save=program))


def _dims(free: Mapping[str, tuple[int, ...]]) -> tuple[dict[int, Any], ...]:
    import torch

    auto = torch.export.Dim.AUTO
    rows = torch.export.Dim("rows")
    return tuple({0: rows, **dict.fromkeys(axes, auto)} for axes in free.values())


def _export(model: Any, args: Any, path: Path, inputs: list[str], outputs: list[str], **how: Any) -> None:
    import torch

    try:
        import onnxscript  # noqa: F401  what the exporter needs and does not name
    except ImportError as error:
        raise MissingExtra("onnxscript", "torch") from error
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own calls; parity finds what they are about
        if how["dynamo"]:
            how |= {"verbose": False, "external_data": False}
        torch.onnx.export(model, args, path, input_names=inputs, output_names=outputs, **how)


def _program(program: Any) -> Subject:
    """Of a `.pt2` file: its own example is the golden rows, and it is served as it is where it has no ONNX form."""
    import torch

    from modelyard.engines.torch import flat_inputs

    model = program.module()
    names, args = flat_inputs(program)
    inputs = {name: a.detach().numpy() for name, a in zip(names, args, strict=True)}
    golden = golden_sets(inputs, {}, _asker(model, names))
    tensors = _program_signature(program, names, inputs, golden)

    def native(folder: Path) -> str:
        torch.export.save(program, folder / "model.pt2")
        return "model.pt2"

    def exported(folder: Path) -> str:
        outputs = [t.name for t in tensors.outputs]
        _export(program, args, folder / "model.onnx", names, outputs, dynamo=True)
        return "model.onnx"

    return Subject(
        tensors=tensors,
        golden=golden,
        forms=(Form(format="onnx", save=exported), Form(format="pt2", save=native)),
        net=NetRef(name="ExportedProgram", framework="pytorch"),
        libraries=("torch", "onnxscript"),
    )


def _program_signature(program: Any, names: list[str], inputs: Mapping[str, Array], golden: Any) -> Signature:
    """Raises InvalidInput for a program whose first axis is fixed: it cannot be asked for another number of
    rows."""
    loose = _symbolic(program, names)
    for name in names:
        if 0 not in loose[name]:
            raise InvalidInput(
                "the program takes one batch size alone; export it with a free first axis",
                came=f"{name} {list(inputs[name].shape)}",
                allowed="torch.export.export(model, args, dynamic_shapes=({0: Dim('rows')},))",
            )
    specs = tuple(onnx_graph.spec_of(n, inputs[n], tuple(a for a in loose[n] if a)) for n in names)
    outputs = tuple(onnx_graph.spec_of(name, a) for name, a in golden[0][1].items())
    return Signature(inputs=specs, outputs=outputs)


def _symbolic(program: Any, names: list[str]) -> dict[str, set[int]]:
    """Input -> axes without a fixed length."""
    placeholders = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    users = [s.arg.name for s in program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
    found = {}
    for name, user in zip(names, users, strict=True):
        shape = placeholders[user].meta["val"].shape
        found[name] = {axis for axis, size in enumerate(shape) if not isinstance(size, int)}
    return found
