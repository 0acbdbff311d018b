"""GGUF files, written here by the format's own description."""

import struct
from pathlib import Path

import pytest

from modelyard import conversion, engines, packages
from modelyard.errors import InvalidInput, NotAllowedFormat


def write_gguf(path: Path, architecture: str = "llama", *, version: int = 3, tensor: int = 64) -> Path:
    """A file with its architecture, an alignment and one F32 tensor of `tensor` values."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", version, 1, 2)
    head += text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    head += text("general.alignment") + struct.pack("<II", 4, 32)
    head += text("token_embd.weight") + struct.pack("<IQIQ", 1, tensor, 0, 0)
    head += b"\0" * (-len(head) % 32)
    path.write_bytes(head + struct.pack(f"<{tensor}f", *range(tensor)))
    return path


def test_it_is_kept_as_it_came_without_a_second_copy(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    said: list[str] = []
    made = conversion.package_file(
        path, "gguf", tmp_path / "p", context=conversion.contract.Context(say=said.append)
    )
    manifest = packages.read(tmp_path / "p")
    assert (manifest.task, manifest.formats) == ("text-generation", {"gguf": "model.gguf"})
    assert manifest.net is not None
    assert manifest.net.name == "llama"
    assert [t.datatype for t in (*manifest.signature.inputs, *manifest.signature.outputs)] == ["BYTES"] * 2
    assert (tmp_path / "p/model.gguf").stat().st_ino == path.stat().st_ino
    assert made.manifest == manifest
    assert "not deployable" in said[0]


def test_it_cannot_be_deployed_and_says_what_can(tmp_path: Path) -> None:
    conversion.package_file(write_gguf(tmp_path / "tiny.gguf"), "gguf", tmp_path / "p")
    with pytest.raises(NotAllowedFormat, match="no engine here opens GGUF yet"):
        engines.open_model(tmp_path / "p")


def test_an_encoder_gives_vectors(tmp_path: Path) -> None:
    made = conversion.package_file(write_gguf(tmp_path / "b.gguf", "nomic-bert"), "gguf", tmp_path / "p")
    assert made.manifest.task == "feature-extraction"


def test_a_header_without_an_architecture_is_kept_too(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf")
    path.write_bytes(path.read_bytes().replace(b"general.architecture", b"general.architectura"))
    made = conversion.package_file(path, "gguf", tmp_path / "p")
    assert made.manifest.net is not None
    assert made.manifest.net.name == "unknown"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x01\0\0\0", b"GGML" + b"\0" * 60])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(InvalidInput, match="no GGUF file"):
        conversion.package_file(tmp_path / "x.gguf", "gguf", tmp_path / "p")
    assert not (tmp_path / "p").exists()
