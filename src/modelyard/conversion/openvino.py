"""OpenVINO IR: kept and served as it is."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from modelyard.conversion.contract import Form, Job, Subject
from modelyard.conversion.examples import drawn, golden_sets
from modelyard.engines.contract import EngineOptions
from modelyard.errors import InvalidInput
from modelyard.packages.golden import Array
from modelyard.types.package import NetRef
from modelyard.types.tensor import DATATYPES, Signature, TensorSpec

_KINDS: Final = {
    "boolean": "BOOL", "u8": "UINT8", "u16": "UINT16", "u32": "UINT32", "u64": "UINT64", "i8": "INT8",
    "i16": "INT16", "i32": "INT32", "i64": "INT64", "f16": "FP16", "f32": "FP32", "f64": "FP64",
}  # fmt: skip
"""OpenVINO's element type -> datatype."""


def load(path: Path) -> Any:
    """The xml, or a folder that holds one; its path, for the engine opens it. Raises InvalidInput."""
    found = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    if len(found) != 1 or not found[0].with_suffix(".bin").is_file():
        raise InvalidInput("OpenVINO IR is an xml and its bin", came=[f.name for f in found])
    return found[0]


def subject(model: Any, job: Job) -> Subject:
    """See `contract.Framework`. Golden answers are OpenVINO's own: what is served is what was brought."""
    from modelyard.engines.openvino import create, read_model

    path: Path = model
    graph = read_model(path)
    tensors = Signature(inputs=_specs(graph.inputs, "input"), outputs=_specs(graph.outputs, "output"))
    if any(-1 not in t.shape[:1] for t in tensors.inputs):
        raise InvalidInput("the model takes one batch size alone", came=[list(t.shape) for t in tensors.inputs],
                           allowed="a first axis that is free: model.reshape([-1, ...])")  # fmt: skip
    engine = create(path, tensors, EngineOptions())
    example = {t.name: drawn(t.shape, DATATYPES[t.datatype]) for t in tensors.inputs}
    free = {t.name: tuple(a for a, size in enumerate(t.shape) if a and size == -1) for t in tensors.inputs}

    def ask(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return engine.run(inputs)

    def save(folder: Path) -> str:
        shutil.copyfile(path, folder / "model.xml")
        shutil.copyfile(path.with_suffix(".bin"), folder / "model.bin")
        return "model.xml"

    return Subject(
        tensors=tensors,
        golden=golden_sets(example, free, ask),
        forms=(Form(format="openvino", save=save),),
        net=NetRef(name=str(graph.get_friendly_name())[:100], framework="openvino"),
        libraries=("openvino",),
    )


def _specs(ports: Any, fallback: str) -> tuple[TensorSpec, ...]:
    specs = []
    for number, port in enumerate(ports):
        kind = _KINDS.get(port.get_element_type().get_type_name())
        if kind is None:
            raise InvalidInput(
                "a tensor of the model has a type that cannot be served", came=str(port.element_type)
            )
        shape = tuple(int(d.get_length()) if d.is_static else -1 for d in port.get_partial_shape())
        names = sorted(port.get_names())
        specs.append(
            TensorSpec(name=names[0] if names else f"{fallback}_{number}", datatype=kind, shape=shape)
        )
    return tuple(specs)
