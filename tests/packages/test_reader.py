import os
import shutil
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard import packages
from modelyard.errors import Corrupt, InvalidInput, NotFound
from modelyard.files import sha256_file
from modelyard.types.package import FileEntry, encode_manifest
from small_package import manifest, write_package

NAMES = ("golden.safetensors", "model.json", "model.onnx")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package that tests leave as it was."""
    folder = tmp_path_factory.mktemp("package")
    write_package(folder)
    return folder


@pytest.fixture
def copy(package, tmp_path):
    """One that tests may break."""
    return shutil.copytree(package, tmp_path / "copy")


def relist(folder, **change):
    """Write a model.json as an attacker would: canonical, with the change in it."""
    made = msgspec.structs.replace(packages.read(folder, verify=False), **change)
    (folder / "model.json").write_bytes(encode_manifest(made))


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(NAMES), place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_flipped_byte_is_refused_by_name(package, name, place, flip):
    digest = packages.digest(packages.read(package))
    path = package / name
    good = path.read_bytes()
    at = int(place * len(good))
    try:
        path.write_bytes(good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
        with pytest.raises(Corrupt) as caught:
            packages.read(package, expected_digest=digest)
    finally:
        path.write_bytes(good)
    assert caught.value.file == name
    assert name in caught.value.message
    assert str(package) not in caught.value.message


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_a_model_json_of_anything_is_a_clear_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("p")
    (folder / "model.json").write_bytes(data)
    with pytest.raises(InvalidInput, match=r"model\.json|format version"):
        packages.read(folder)


def test_deep_json_is_a_clear_error(tmp_path):
    (tmp_path / "model.json").write_bytes(b'{"format_version":1,"preprocessing":' + b"[" * 250_000)
    with pytest.raises(InvalidInput, match="not a package's manifest"):
        packages.read(tmp_path)


def test_a_missing_manifest_is_not_found(tmp_path):
    with pytest.raises(NotFound, match=r"no model\.json"):
        packages.read(tmp_path)


def test_a_schema_error_names_the_place(copy):
    data = (copy / "model.json").read_bytes()
    (copy / "model.json").write_bytes(data.replace(b'"rows":5', b'"rows":"5"'))
    with pytest.raises(InvalidInput, match=r"Expected `int`, got `str` - at `\$\.golden\.rows`"):
        packages.read(copy)


@pytest.mark.parametrize("version", [0, 2, 99])
def test_an_unknown_format_version_is_refused(copy, version):
    data = (copy / "model.json").read_bytes()
    (copy / "model.json").write_bytes(data.replace(b'"format_version":1', b'"format_version":%d' % version))
    with pytest.raises(InvalidInput, match=rf"unknown package format version; came: {version}; allowed: 1"):
        packages.read(copy)


def test_unknown_keys_are_refused(copy):
    data = (copy / "model.json").read_bytes()
    (copy / "model.json").write_bytes(b'{"auto_map":{},' + data[1:])
    with pytest.raises(InvalidInput, match="not canonical"):
        packages.read(copy)


def test_a_missing_file_is_named(copy):
    (copy / "model.onnx").unlink()
    with pytest.raises(Corrupt, match=r"'model\.onnx' is missing") as caught:
        packages.read(copy, verify=False)
    assert caught.value.file == "model.onnx"


def test_another_size_is_named_without_hashing(copy):
    with (copy / "model.onnx").open("ab") as f:
        f.write(b"x")
    with pytest.raises(Corrupt, match=r"'model\.onnx' has another size"):
        packages.read(copy, verify=False)


@pytest.mark.parametrize("name", ["extra.py", "sub/extra.bin", ".hidden"])
def test_a_file_that_is_not_listed_is_named(copy, name):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"x")
    with pytest.raises(Corrupt, match=r"is not listed in model\.json") as caught:
        packages.read(copy)
    assert caught.value.file == name


def test_a_link_to_the_right_bytes_is_refused(copy, package):
    (copy / "model.onnx").unlink()
    (copy / "model.onnx").symlink_to(package / "model.onnx")
    with pytest.raises(Corrupt, match="not a plain file; came: a link"):
        packages.read(copy)


def test_a_linked_folder_is_refused(copy, tmp_path):
    (tmp_path / "outside").mkdir()
    (copy / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(Corrupt, match="'sub' is not a plain file"):
        packages.read(copy)


def test_a_linked_manifest_is_refused(copy, package):
    (copy / "model.json").unlink()
    (copy / "model.json").symlink_to(package / "model.json")
    with pytest.raises(Corrupt, match=r"'model\.json' is not a plain file"):
        packages.read(copy)


def test_a_pipe_is_refused_and_not_waited_for(copy):
    os.mkfifo(copy / "pipe")
    with pytest.raises(Corrupt, match="came: a pipe"):
        packages.read(copy)
    (copy / "pipe").unlink()
    (copy / "model.json").unlink()
    os.mkfifo(copy / "model.json")
    with pytest.raises(Corrupt, match=r"'model\.json' is not a plain file"):
        packages.read(copy)


def test_hard_links_are_as_good_as_files(copy, package):
    (copy / "model.onnx").unlink()
    os.link(package / "model.onnx", copy / "model.onnx")
    assert packages.read(copy) == packages.read(package)


@pytest.mark.parametrize(
    "name",
    ["../model.onnx", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a\\b", "a\nb", "a\x00b", "n" * 241,
     "model.json", "1/2/3/4/5/6/7/8/9"],
)  # fmt: skip
def test_a_name_that_leads_out_is_refused(copy, name):
    files = packages.read(copy).files | {name: FileEntry(sha256="0" * 64, size=0)}
    relist(copy, files=files)
    with pytest.raises(Corrupt, match="has a name that a package may not hold") as caught:
        packages.read(copy)
    assert caught.value.file == name


def test_a_format_outside_the_list_is_refused(copy):
    relist(copy, formats={"onnx": "../other/model.onnx"})
    with pytest.raises(Corrupt, match=r"'\.\./other/model\.onnx' is referred to and not listed"):
        packages.read(copy)


def test_another_digest_than_expected_names_the_manifest(package):
    with pytest.raises(Corrupt, match=r"'model\.json' does not match its digest"):
        packages.read(package, expected_digest="0" * 64)


def test_a_huge_manifest_is_refused_in_bounded_memory(tmp_path):
    with (tmp_path / "model.json").open("wb") as f:
        f.truncate(1 << 34)  # sparse
    tracemalloc.start()
    with pytest.raises(Corrupt, match=r"'model\.json' is too large"):
        packages.read(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 << 20


def test_files_are_hashed_in_bounded_memory(tmp_path):
    write_package(tmp_path)
    with (tmp_path / "weights.bin").open("wb") as f:
        f.truncate(64 << 20)
    tracemalloc.start()
    packages.write(tmp_path, manifest())
    packages.read(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert packages.read(tmp_path).files["weights.bin"].sha256 == sha256_file(tmp_path / "weights.bin")
