from pathlib import Path

import pytest

import brought_models


@pytest.fixture(scope="session")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small real model of every format, each by its own library."""
    folder = tmp_path_factory.mktemp("brought")
    brought_models.write_keras(folder)
    brought_models.write_onnx(folder / "model.onnx")
    brought_models.write_safetensors(folder / "model.safetensors")
    brought_models.write_skops(folder / "model.skops")
    brought_models.write_pt2(folder / "model.pt2")
    brought_models.write_openvino(folder / "openvino")
    brought_models.write_huggingface(folder / "huggingface")
    (folder / "model.gguf").write_bytes(brought_models.gguf())
    return folder
