"""What is looked at in a package that came from elsewhere, whatever its engine."""

from pathlib import Path

import pytest

import tiny_language_model
from modelyard import packages
from modelyard.errors import ModelyardError
from modelyard.runs.bundles import inspect_package


def test_a_language_models_folder_is_looked_at_whole(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    manifest = tiny_language_model.write_package(tmp_path)
    inspect_package(tmp_path, manifest)
    (tmp_path / "huggingface" / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ModelyardError, match="pytorch_model"):
        inspect_package(tmp_path, manifest)


def test_what_says_how_to_start_an_engine_is_no_model_and_its_weights_are(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "vllm.json").write_text("{}")
    manifest = tiny_language_model.write_package(tmp_path, formats={"vllm": "vllm.json"})
    inspect_package(tmp_path, manifest)
    (tmp_path / "huggingface" / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelyardError, match="safetensors"):
        inspect_package(tmp_path, packages.read(tmp_path, verify=False))
