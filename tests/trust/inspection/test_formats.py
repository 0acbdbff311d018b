"""Hostile files of each format, and damage anywhere in a good one."""

import json
import shutil
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import brought_models
from brought_models import zipped
from modelyard.errors import Corrupt, ModelyardError, NotAllowedFormat
from modelyard.trust.inspection import inspect

pytestmark = pytest.mark.slow  # frameworks write the models

MEMORY = 64 << 20
SECONDS = 5.0


def refused(path: Path, match: str = ".") -> ModelyardError:
    with pytest.raises((NotAllowedFormat, Corrupt), match=match) as found:
        inspect(path)
    assert str(path.parent) not in found.value.message
    return found.value


def tensors(header: Any, data: bytes, *, raw: bytes | None = None) -> bytes:
    text = raw if raw is not None else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one(start: int, end: int, shape: list[int] | None = None) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "data",
    [
        tensors({"a": one(0, 8), "b": one(4, 12)}, bytes(12)),  # overlap
        tensors({"a": one(0, 4), "b": one(8, 12)}, bytes(12)),  # a hole
        tensors({"a": one(0, 4)}, bytes(12)),  # bytes that no tensor has
        tensors({"a": one(0, 16)}, bytes(12)),  # past the end
        tensors({"a": one(4, 0, [0])}, bytes(0)),
        tensors({"a": one(0, 12, [2])}, bytes(12)),  # a shape that is not its size
        tensors({"a": one(0, 12, [2**40, 2**40])}, bytes(12)),
        tensors({"a": one(0, 12, [-1])}, bytes(12)),
        tensors({"a": {"dtype": "X9", "shape": [12], "data_offsets": [0, 12]}}, bytes(12)),
        tensors({"a": one(0, 12), "__metadata__": {"x": 1}}, bytes(12)),
        tensors(
            None,
            bytes(4),
            raw=b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
            b'"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        ),  # twice
        tensors(None, b"", raw=b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        tensors(None, b"", raw=b'{"a":NaN}'),
        struct.pack("<Q", 1 << 62) + b"{}",  # a huge header
        struct.pack("<Q", 100_000_001) + b"{" + bytes(100),
    ],
)
def test_safetensors_that_lie(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(data)
    refused(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "data",
    [
        brought_models.gguf(tensors=1 << 63),
        brought_models.gguf(keys=1 << 63),
        brought_models.gguf(tensors=2),
        brought_models.gguf(offset=1 << 40),
        brought_models.gguf(offset=32),  # its end is past the file's
        brought_models.gguf(size=16),
        brought_models.gguf(offset=7),
        b"GGUF" + struct.pack("<I", 9) + bytes(100),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 62),  # a key of 2^62 bytes
        b"GGUF"
        + struct.pack("<IQQQ", 3, 0, 1, 1)
        + b"k"
        + struct.pack("<IIQ", 9, 8, 1 << 60),  # an endless array
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 9, 1),  # arrays in arrays
    ],
)
def test_gguf_that_lies(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(data)
    refused(tmp_path / "m.gguf")


def test_onnx_that_nests_without_end_or_brings_its_own_operators(tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "m.onnx"
    inner = b""
    for _ in range(300):  # GraphProto.node.attribute.g, in itself
        attribute = b"\x32" + _length(inner) + inner
        node = b"\x2a" + _length(attribute) + attribute
        inner = b"\x0a" + _length(node) + node
    path.write_bytes(b"\x08\x08\x42\x04\x0a\x00\x10\x12\x3a" + _length(inner) + inner)
    refused(path, "nested")
    for domain, kind in (("com.evil", "Op"), ("com.microsoft", "PyOp")):
        model = onnx.load_from_string(_linear(tmp_path))
        model.graph.node[0].domain, model.graph.node[0].op_type = domain, kind
        path.write_bytes(model.SerializeToString())
        refused(path, "operator")


def _linear(folder: Path) -> bytes:
    brought_models.write_onnx(folder / "linear.onnx")
    return (folder / "linear.onnx").read_bytes()


def _length(data: bytes) -> bytes:
    size, out = len(data), bytearray()
    while True:
        out.append(size & 0x7F | (0x80 if size > 0x7F else 0))
        size >>= 7
        if not size:
            return bytes(out)


def changed_keras(brought: Path, path: Path, change: Any) -> Path:
    """model.keras with a change in its configuration."""
    with zipfile.ZipFile(brought / "model.keras") as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    return zipped(path, {**members, "config.json": json.dumps(config).encode()})


GADGETS = [
    {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {"module": "gA=="}},
    {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/etc"}},
    {"module": "os", "class_name": "system", "config": {}},
    {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "eval"},
    {"module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization"},
    {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"},
    {"module": "keras.src.utils.file_utils", "class_name": "function", "config": "get_file"},
    {"module": "keras.saving", "class_name": "function", "config": "load_model"},
    {"class_name": "__lambda__", "config": {"code": "4wE="}},
    {"class_name": "__typespec__", "module": "os", "spec_name": "x"},
    {"module": "numpy", "class_name": "load", "config": {}},
    {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}},
    {"module": None, "class_name": "Thing", "registered_name": "mine>Thing", "config": {}},
    {"module": "keras.layers.core", "class_name": "Lambda", "config": {}},
]


@pytest.mark.parametrize("gadget", GADGETS, ids=[f"{g.get('module')}.{g['class_name']}" for g in GADGETS])
def test_keras_configurations_that_name_what_is_not_keras(brought: Path, tmp_path: Path, gadget: Any) -> None:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][2]["config"]["kernel_initializer"] = gadget

    refused(changed_keras(brought, tmp_path / "m.keras", change), "holds")


def test_keras_archives_with_more_in_them(brought: Path, tmp_path: Path) -> None:
    shutil.copyfile(brought / "model.keras", tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "a") as archive:
        archive.writestr("evil.py", "import os")
    refused(tmp_path / "m.keras", "no Keras model has")


def test_a_saved_model_that_runs_python_or_writes_files(tmp_path: Path) -> None:
    brought_models.write_pyfunc(tmp_path / "saved")
    error = refused(tmp_path / "saved", "reach for files")
    assert "WriteFile" in error.message
    assert "EagerPyFunc" in error.message


def skops_of(path: Path, **node: Any) -> Path:
    schema = {
        "__class__": "Pipeline",
        "__module__": "sklearn.pipeline",
        "__loader__": "ObjectNode",
        "content": node,
    }
    return zipped(path, {"schema.json": json.dumps(schema).encode()})


@pytest.mark.parametrize(
    "node",
    [
        {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"},
        {"__class__": "eval", "__module__": "builtins", "__loader__": "TypeNode"},
        {"__class__": "partial", "__module__": "functools", "__loader__": "PartialNode"},
        {"__class__": "methodcaller", "__module__": "operator", "__loader__": "OperatorFuncNode"},
        {"__class__": "Popen", "__module__": "subprocess", "__loader__": "ObjectNode"},
        {"__class__": "load", "__module__": "numpy.lib.npyio", "__loader__": "MethodNode"},
        {"__class__": "load", "__module__": "sklearn.externals.array_api_compat", "__loader__": "TypeNode"},
        {"__class__": "load_svmlight_file", "__module__": "sklearn.datasets", "__loader__": "FunctionNode"},
        {"__class__": "load", "__module__": "numpy", "__loader__": "FunctionNode"},
        {"__class__": "a.b()", "__module__": "sklearn.svm", "__loader__": "ObjectNode"},
        {"__class__": 1, "__module__": "sklearn.svm", "__loader__": "ObjectNode"},
    ],
)
def test_skops_files_with_types_that_are_not_trusted(tmp_path: Path, node: Any) -> None:
    refused(skops_of(tmp_path / "m.skops", step=node))


def test_skops_arrays_of_objects(tmp_path: Path) -> None:
    import io

    import numpy as np

    out = io.BytesIO()
    np.save(out, np.array([{}], dtype=object), allow_pickle=True)
    schema = {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode"}
    members = {"schema.json": json.dumps(schema).encode(), "1.npy": out.getvalue()}
    refused(zipped(tmp_path / "m.skops", members), "pickles")


def changed_pt2(brought: Path, path: Path, **changes: bytes | None) -> Path:
    """model.pt2 with members replaced (by the end of their names), or added."""
    with zipfile.ZipFile(brought / "model.pt2") as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    root = next(iter(members)).split("/")[0]
    for name, data in changes.items():
        found = next((m for m in members if m.endswith(name)), f"{root}/{name}")
        assert data is not None
        members[found] = data
    return zipped(path, members)


def _program(brought: Path) -> Any:
    with zipfile.ZipFile(brought / "model.pt2") as archive:
        return json.loads(
            archive.read(next(n for n in archive.namelist() if n.endswith("models/model.json")))
        )


def test_pt2_with_pickles_code_and_names_of_its_own(brought: Path, tmp_path: Path) -> None:
    import io
    import pickle

    out = io.BytesIO()
    evil = b"cos\nsystem\n(S'true'\ntR."
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", evil)
    path = tmp_path / "m.pt2"
    refused(
        changed_pt2(brought, path, **{"data/sample_inputs/model.pt": out.getvalue()}), "no tensors|pickles"
    )
    config = json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": True}}}).encode()
    refused(changed_pt2(brought, path, **{"model_weights_config.json": config}), "pickles")
    refused(changed_pt2(brought, path, **{"data/aotinductor/model/x.so": b"\x7fELF"}), "no graph")
    refused(changed_pt2(brought, path, **{"data/constants/custom_obj_0": pickle.dumps(1)}), "no graph")


@pytest.mark.parametrize(
    "target", ["torch.load", "os.system", "torch.ops.mine.op", "_operator.methodcaller", "torch.hub.load"]
)
def test_pt2_that_calls_other_things_than_operators(brought: Path, tmp_path: Path, target: str) -> None:
    program = _program(brought)
    program["graph_module"]["graph"]["nodes"][0]["target"] = target
    refused(
        changed_pt2(brought, tmp_path / "m.pt2", **{"models/model.json": json.dumps(program).encode()}),
        "operators",
    )


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "s0.__class__",
        "(lambda: 1)()",
        "[x for x in (1,)]",
        "open('/etc/passwd')",
        "s0 +",
        "(" * 9000,
    ],
)
def test_pt2_expressions_that_are_more_than_arithmetic(
    brought: Path, tmp_path: Path, expression: str
) -> None:
    for place in ("size", "guard"):
        program = _program(brought)
        if place == "guard":
            program["guards_code"] = [expression]
        else:
            sizes = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
            sizes[0]["as_expr"]["expr_str"] = expression
        body = {"models/model.json": json.dumps(program).encode()}
        refused(changed_pt2(brought, tmp_path / "m.pt2", **body), "arithmetic")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<?xml", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><?xml'),
        (b"<net", b'<!DOCTYPE net SYSTEM "file:///etc/passwd"><net'),
        (b'version="opset1"', b'version="extension"'),
        (b"offset=", b'offset="99999999999" old='),
    ],
)
def test_openvino_with_entities_extensions_or_constants_elsewhere(
    brought: Path, tmp_path: Path, old: bytes, new: bytes
) -> None:
    for name in ("model.xml", "model.bin"):
        shutil.copyfile(brought / "openvino" / name, tmp_path / name)
    xml = (tmp_path / "model.xml").read_bytes()
    assert old in xml
    (tmp_path / "model.xml").write_bytes(xml.replace(old, new, 1))
    refused(tmp_path / "model.xml")


@pytest.mark.parametrize(
    "name",
    [
        "model.onnx",
        "model.keras",
        "model.safetensors",
        "model.gguf",
        "model.skops",
        "model.pt2",
        "openvino/model.xml",
        "savedmodel/saved_model.pb",
        "huggingface/config.json",
    ],
)
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_is_an_error_of_ours_in_bounded_memory(
    brought: Path, tmp_path: Path, name: str, data: st.DataObject
) -> None:
    whole = brought / name
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = content[: data.draw(st.sampled_from([len(content), len(content) // 2, 8]))]
    work = tmp_path / "work"
    shutil.rmtree(work, ignore_errors=True)
    if "/" in name:
        shutil.copytree(whole.parent, work)
    else:
        work.mkdir()
    (work / whole.name).write_bytes(cut)
    started = time.monotonic()
    tracemalloc.start()
    try:
        inspect(work if "/" in name else work / whole.name)
    except ModelyardError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY
    assert time.monotonic() - started < SECONDS
