import shutil
from pathlib import Path

import pytest

import brought_models
from brought_models import tarred, zipped
from modelyard.errors import InvalidInput, ModelyardError, NotAllowedFormat, UnknownName
from modelyard.trust.inspection import Inspection, inspect, inspect_sandboxed

pytestmark = pytest.mark.slow  # frameworks write the models

FACTS = {
    "model.onnx": ("onnx", None, {"nodes": 2, "opset": 18}),
    "model.keras": ("keras", "image-classification", {"layers": 5, "input": [-1, 8, 8, 1]}),
    "functional.keras": ("keras", None, {"class": "Functional"}),
    "savedmodel": ("savedmodel", None, {"tags": ["serve"]}),
    "model.safetensors": ("safetensors", None, {"tensors": 2, "parameters": 17}),
    "model.gguf": ("gguf", "text-generation", {"tensors": 1, "llama.context_length": 2048}),
    "model.skops": ("skops", "tabular-classification", {"estimator": "RandomForestClassifier"}),
    "model.pt2": ("pt2", None, {"inputs": ["x"], "tensors": 2}),
    "openvino/model.xml": ("openvino", None, {"inputs": ["features"]}),
    "openvino": ("openvino", None, {"ir_version": "11"}),
    "huggingface": ("safetensors", "text-classification", {"labels": ["bad", "good"], "model_type": "bert"}),
}


@pytest.mark.parametrize("name", FACTS)
def test_what_a_model_is(brought: Path, name: str) -> None:
    found = inspect(brought / name)
    format, task, facts = FACTS[name]
    assert (found.format, found.task) == (format, task)
    assert {key: found.facts[key] for key in facts} == facts
    assert found.bytes > 0
    assert found.why


@pytest.mark.parametrize("name", ["model.onnx", "savedmodel", "openvino/model.xml", "huggingface"])
def test_the_sandbox_says_the_same(brought: Path, name: str) -> None:
    assert inspect_sandboxed(brought / name) == inspect(brought / name)


@pytest.mark.parametrize("name", ["model.onnx", "model.keras", "model.gguf", "model.skops", "model.pt2"])
def test_a_format_is_found_by_its_bytes_whatever_its_name(brought: Path, tmp_path: Path, name: str) -> None:
    shutil.copyfile(brought / name, tmp_path / "anything")
    assert inspect(tmp_path / "anything").format == FACTS[name][0]


def test_code_beside_a_model_is_left_out(brought: Path) -> None:
    found = inspect(brought / "huggingface")
    assert "modeling_evil.py" not in found.keep
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(found.keep)
    assert any("auto_map" in note for note in found.notes)
    assert any("modeling_evil.py" in note for note in found.notes)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar"])
@pytest.mark.parametrize("name", ["savedmodel", "huggingface", "openvino"])
def test_a_packed_folder_is_its_model(brought: Path, tmp_path: Path, name: str, suffix: str) -> None:
    kind = {".zip": "zip", ".tar.gz": "gztar", ".tar": "tar"}[suffix]
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), kind, brought, name))
    assert inspect(packed).format == "archive"
    out = tmp_path / "out"
    out.mkdir()
    found = inspect_sandboxed(packed, unpack=out)
    plain = inspect(brought / name)
    assert (found.format, found.entry, found.keep) == (plain.format, name, plain.keep)
    for kept in found.keep:
        assert (out / name / kept).read_bytes() == (brought / name / kept).read_bytes()


def test_external_tensors_of_an_onnx_model_come_along(tmp_path: Path) -> None:
    path = brought_models.write_external_onnx(tmp_path / "model")
    found = inspect(path)
    assert found.keep == ("model.onnx", "weights.bin")
    assert inspect(path.parent).keep == ("model.onnx", "weights.bin")
    assert inspect_sandboxed(path).facts["external_files"] == ["weights.bin"]


@pytest.mark.parametrize(
    "location", ["../weights.bin", "/etc/passwd", "sub/../../x", "none.bin", "", "link.bin"]
)
def test_external_tensors_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x" * 100)
    path = brought_models.write_external_onnx(tmp_path / "model", location)
    (tmp_path / "model/link.bin").symlink_to("/etc/passwd")
    with pytest.raises(NotAllowedFormat, match="beside"):
        inspect(path)


def test_of_several_models_one_is_named(brought: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "model.keras"):
        shutil.copyfile(brought / name, tmp_path / name)
    with pytest.raises(InvalidInput, match="more than one model"):
        inspect(tmp_path)
    assert inspect(tmp_path, wanted="keras").keep == ("model.keras",)
    with pytest.raises(UnknownName, match="did you mean 'keras'"):
        inspect(tmp_path, wanted="kera")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"notes.txt": b"hello"}, "no model"),
        ({"model.h5": b"\x89HDF\r\n\x1a\n" + bytes(100)}, r"save\('model.keras'\)"),
        ({"config.json": b"{}"}, "safetensors"),
        (
            {
                "config.json": b"{}",
                "pytorch_model.bin": b"\x80\x02c__builtin__\neval\n(X\x01\x00\x00\x001tR.",
            },
            "pickles",
        ),
    ],
)
def test_what_is_no_model_says_what_would_be(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(NotAllowedFormat, match=said):
        inspect(tmp_path)


def test_links_are_not_followed(brought: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").symlink_to(brought / "model.onnx")
    for path in (tmp_path, tmp_path / "model.onnx"):
        with pytest.raises(NotAllowedFormat):
            inspect(path)


@pytest.mark.parametrize("name", ["lambda.keras", "own.keras", "old.h5"])
def test_keras_with_code_is_refused_with_the_way_out(brought: Path, name: str) -> None:
    with pytest.raises(NotAllowedFormat, match=r"allowed: .*keras"):
        inspect(brought / name)


def test_a_crash_of_the_reader_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brought: Path
) -> None:
    """A limit that the process cannot keep: it ends without an answer."""
    from modelyard.trust.inspection import apart

    monkeypatch.setattr(apart, "_MEMORY", 1 << 20)
    with pytest.raises(ModelyardError) as refused:
        inspect_sandboxed(brought / "model.onnx")
    assert refused.value.code in ("format_not_allowed", "too_large")


def test_an_answer_crosses_the_process_whole(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(brought_models.gguf(tensors=1 << 63))
    with pytest.raises(ModelyardError) as inside:
        inspect(tmp_path / "m.gguf")
    with pytest.raises(type(inside.value)) as outside:
        inspect_sandboxed(tmp_path / "m.gguf")
    assert outside.value.message == inside.value.message
    assert isinstance(inspect(zipped(tmp_path / "z.zip", {"a.txt": b"x"})), Inspection)
    assert tarred(tmp_path / "t.tar", []).is_file()
