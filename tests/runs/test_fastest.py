"""Which engine an import chooses: real sandboxes, measurements, and (once) a real conversion."""

import asyncio
import os
import platform
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("xllamacpp")
pytest.importorskip("openvino_genai")
pytest.importorskip("gguf")


import tiny_language_model
from brought_models import write_onnx
from modelyard import packages
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.replying import replay
from modelyard.engines.table import generator_format, open_generator
from modelyard.engines.vllm.launch import read_launch
from modelyard.environments import build
from modelyard.errors import InvalidInput, ModelyardError, Unavailable
from modelyard.runs import import_model
from modelyard.runs.context import RunContext
from modelyard.runs.reporter import RunReporter
from modelyard.types.run import RunSpec
from tiny_gguf import vocabulary, write_gguf
from wheels import only_from

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", vocabulary())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    yield tmp_path_factory.mktemp("home")
    while build._held:  # as the end of this process would
        os.close(build._held.pop())


def context(home: Path, weights: Path, name: str, **options: Any) -> RunContext:
    folder = home / "runs" / name
    sources = folder / "inputs/sources"
    sources.mkdir(parents=True)
    files = sorted(weights.iterdir()) if weights.is_dir() else [weights]
    for file in files:
        os.link(file, sources / file.name)
    params = {"name": "tiny", "sources": [file.name for file in files], "options": options}
    spec = RunSpec(
        id=name,
        attempt=1,
        kind="import",
        tenant="default",
        params=params,
        environments=str(home / "environments"),
    )
    made = RunContext(spec=spec, folder=folder, reporter=RunReporter())
    made.outputs.mkdir(parents=True)
    made.checkpoints.mkdir()
    return made


def no_index(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    only_from(tmp_path / "empty", monkeypatch)


def test_what_was_said_is_not_measured(home, weights, tmp_path):
    made = context(home, weights, "said", engine="llama_cpp")
    outcome = import_model.run(made)
    assert outcome.summary["served_as"] == ["gguf"]
    assert not any("tokens/s" in why for why in outcome.summary["why"])
    with pytest.raises(InvalidInput, match="does not open"):
        import_model.run(context(home, weights, "not", engine="transformers"))
    write_onnx(tmp_path / "model.onnx")
    with pytest.raises(InvalidInput, match="language models alone"):
        import_model.run(context(home, tmp_path / "model.onnx", "onnx", engine="openvino"))


def test_without_the_conversions_environment_the_files_own_engine_serves(
    home, weights, tmp_path, monkeypatch
):
    no_index(tmp_path, monkeypatch)
    outcome = import_model.run(context(tmp_path, weights, "auto"))
    assert outcome.state == "succeeded"
    assert outcome.summary["served_as"] == ["gguf"]
    assert outcome.summary["why"][-1].startswith("it stays with llama_cpp")
    with pytest.raises(ModelyardError):
        import_model.run(context(tmp_path, weights, "openvino", engine="openvino"))


def test_files_that_no_engine_opens_are_kept_without_a_conversion(home, tmp_path):
    broken = tmp_path / "broken.gguf"
    write_gguf(broken, vocabulary())
    data = broken.read_bytes().replace(b"blk.0.ffn_up", b"blk.0.ffn_no")
    broken.write_bytes(data)
    outcome = import_model.run(context(home, broken, "broken"))
    assert outcome.summary["served_as"] == ["gguf"]
    assert "it stays with llama_cpp: " in outcome.summary["why"][-1]
    assert not any("tokens/s" in why for why in outcome.summary["why"])


def test_vllm_gets_its_file_beside_a_folder_that_stays_as_it_is(home, tmp_path):
    pytest.importorskip("transformers")
    folder = tiny_language_model.write_folder(tmp_path / "tiny")
    made = context(home, folder, "vllm", engine="vllm", launch={"tensor_parallel": "2", "hosts": 1})
    outcome = import_model.run(made)
    assert outcome.summary["served_as"] == ["transformers", "vllm"]
    manifest = packages.read(made.outputs / "package")
    plan = read_launch(made.outputs / "package" / manifest.formats["vllm"], GeneratorOptions())
    assert (plan.launch.tensor_parallel, plan.context) == (2, 64)
    assert generator_format(manifest) == "vllm"
    for wrong in ({"launch": {"tensor_paralel": 2}}, {"launch": {"hosts": 0}}):
        with pytest.raises(InvalidInput, match="launch"):
            import_model.run(context(home, folder, f"w{len(str(wrong))}", engine="vllm", **wrong))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="OpenVINO is for x86 here")
def test_converted_to_openvino_it_answers_as_the_model_did(home, weights, monkeypatch):
    """The environment comes from the package index."""
    try:
        made = context(home, weights, "converted", engine="openvino")
        outcome = import_model.run(made)
    except Unavailable as error:
        pytest.skip(f"the conversion's environment cannot be built: {error.message}")
    why = outcome.summary["why"]
    assert outcome.summary["served_as"] == ["openvino-genai"]
    assert [line.split(":")[0] for line in why[-3:]] == ["llama_cpp", "openvino", "openvino, as you said"]
    folder = made.outputs / "package"
    manifest = packages.read(folder)
    assert manifest.replies is not msgspec.UNSET
    assert "tiny.gguf" not in manifest.files
    generator = open_generator(folder, manifest, GeneratorOptions(slots=1, threads=1))

    async def held() -> None:
        await replay(generator, folder, manifest)
        await generator.aclose()

    asyncio.run(held())
    again = context(home, weights, "auto")
    auto = import_model.run(again)
    assert "was the fastest on this machine" in auto.summary["why"][-1]
    best = auto.summary["why"][-1].split(" ")[0]
    assert auto.summary["served_as"] == [{"llama_cpp": "gguf", "openvino": "openvino-genai"}[best]]
    assert packages.read(again.outputs / "package").replies is not msgspec.UNSET
