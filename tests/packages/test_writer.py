import os

import msgspec
import pytest

from modelyard import packages
from modelyard.errors import Corrupt, InvalidInput
from modelyard.files import sha256_file
from modelyard.types.package import Manifest, NetRef, encode_manifest
from small_package import manifest, write_files, write_package


def test_lists_every_file_by_its_digest_and_size(tmp_path):
    folder = tmp_path / "package"
    write_files(folder)
    (folder / "weights").mkdir()
    (folder / "weights" / "net.safetensors").write_bytes(b"w" * 100)
    written = packages.write(folder, manifest())
    assert set(written.files) == {"model.onnx", "golden.safetensors", "weights/net.safetensors"}
    assert written.files["weights/net.safetensors"].size == 100
    assert written.files["model.onnx"].sha256 == sha256_file(folder / "model.onnx")


def test_what_is_written_is_what_is_read(tmp_path):
    written = write_package(tmp_path)
    assert packages.read(tmp_path) == written
    assert packages.digest(tmp_path) == packages.digest(written)


def test_the_same_content_has_the_same_digest(tmp_path):
    first, second = write_package(tmp_path / "1"), write_package(tmp_path / "2")
    assert packages.digest(first) == packages.digest(second)


def test_whole_numbers_in_float_fields_do_not_change_the_digest(tmp_path):
    write_files(tmp_path)
    loose = msgspec.structs.replace(manifest(), golden=msgspec.structs.replace(manifest().golden, rtol=0))
    written = packages.write(tmp_path, loose)
    assert packages.read(tmp_path, expected_digest=packages.digest(written)) == written


def test_model_json_is_the_last_thing_written(tmp_path, monkeypatch):
    write_files(tmp_path)
    order = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(
        os, "replace", lambda a, b: (order.append(f"rename {os.path.basename(b)}"), replace(a, b))
    )
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd)))
    packages.write(tmp_path, manifest())
    # Two files, their folder and model.json's content before its name; its folder after.
    assert order == ["fsync"] * 4 + ["rename model.json", "fsync"]


def test_writing_again_takes_the_files_as_they_are_now(tmp_path):
    first = write_package(tmp_path)
    (tmp_path / "notes.txt").write_text("new")
    second = packages.write(tmp_path, first)
    assert "notes.txt" in second.files
    assert packages.read(tmp_path) == second


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused_and_nothing_is_written(tmp_path, value):
    write_files(tmp_path)
    bad = msgspec.structs.replace(manifest(), preprocessing={"mean": [1.0, value]})
    with pytest.raises(InvalidInput, match=r"preprocessing\.mean is not a finite number"):
        packages.write(tmp_path, bad)
    assert not (tmp_path / "model.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"formats": {"onnx": "other.onnx"}},
        {"net": NetRef(name="mlp", framework="pytorch", weights="net.safetensors")},
    ],
)
def test_a_file_that_is_named_and_not_there_is_refused(tmp_path, change):
    write_files(tmp_path)
    with pytest.raises(InvalidInput, match="is not in its folder"):
        packages.write(tmp_path, msgspec.structs.replace(manifest(), **change))
    assert not (tmp_path / "model.json").exists()


def test_links_are_refused(tmp_path):
    write_files(tmp_path)
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(Corrupt, match="'passwd' is not a plain file"):
        packages.write(tmp_path, manifest())


def test_the_manifest_is_canonical(tmp_path):
    write_package(tmp_path)
    data = (tmp_path / "model.json").read_bytes()
    assert encode_manifest(msgspec.json.decode(data, type=Manifest)) == data
