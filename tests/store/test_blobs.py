import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import Conflict, Corrupt, NotFound, TooLarge
from modelyard.home import Home
from modelyard.store.blobs import BlobStore
from modelyard.types.package import FileEntry


def leftovers(home: Home) -> list[str]:
    return sorted(os.listdir(home.temporary))


@settings(max_examples=25, deadline=None)
@given(chunks=st.lists(st.binary(max_size=100), max_size=5))
def test_what_is_put_is_read(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    home.create()
    blobs = BlobStore(home.blobs, home.temporary)
    entry = blobs.put_stream(chunks)
    data = b"".join(chunks)
    assert entry == FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    with blobs.open(entry.sha256) as f:
        assert f.read() == data
    assert leftovers(home) == []


def test_a_file_shares_its_bytes_and_stays(blobs: BlobStore, home: Home, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    entry = blobs.put_file(source)
    assert source.samefile(blobs.path(entry.sha256))
    assert blobs.put_file(source) == entry
    assert leftovers(home) == []


def test_a_blob_cannot_be_written(blobs: BlobStore) -> None:
    assert blobs.path(blobs.put_bytes(b"abc").sha256).stat().st_mode & 0o777 == 0o444


def test_a_file_that_is_not_what_was_expected_is_named(blobs: BlobStore, home: Home, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abd")
    expected = FileEntry(sha256=hashlib.sha256(b"abc").hexdigest(), size=3)
    with pytest.raises(Corrupt, match=r"model\.onnx"):
        blobs.put_file(source, name="model.onnx", expected=expected)
    assert not blobs.has(expected.sha256)
    assert list(blobs.digests()) == []
    assert leftovers(home) == []


def test_too_much_is_refused_where_it_begins(blobs: BlobStore, home: Home) -> None:
    seen = []

    def chunks() -> Iterator[bytes]:
        for i in range(100):
            seen.append(i)
            yield b"x" * 10

    with pytest.raises(TooLarge, match="allowed: 25"):
        blobs.put_stream(chunks(), limit=25)
    assert seen == [0, 1, 2]
    assert leftovers(home) == []
    assert list(blobs.digests()) == []


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 63])
def test_what_is_no_digest_is_not_looked_for(blobs: BlobStore, name: str) -> None:
    with pytest.raises(NotFound):
        blobs.open(name)


def test_a_flipped_byte_is_found(blobs: BlobStore) -> None:
    entry = blobs.put_bytes(b"abc")
    blobs.verify("weights", entry)
    path = blobs.path(entry.sha256)
    path.chmod(0o644)
    path.write_bytes(b"abd")
    with pytest.raises(Corrupt, match="weights"):
        blobs.verify("weights", entry)
    path.unlink()
    with pytest.raises(Corrupt, match="of no file"):
        blobs.verify("weights", entry)


def test_a_version_is_laid_out_as_hard_links(blobs: BlobStore, tmp_path: Path) -> None:
    one, two = blobs.put_bytes(b"one"), blobs.put_bytes(b"two")
    folder = tmp_path / "version"
    blobs.link_into(folder, {"a": one, "deep/er/b": two, "copy": one})
    assert (folder / "deep/er/b").read_bytes() == b"two"
    assert (folder / "a").samefile(blobs.path(one.sha256))
    with pytest.raises(Conflict):
        blobs.link_into(folder, {"a": two})
    assert (folder / "a").read_bytes() == b"one"
    assert os.listdir(tmp_path / "version" / "deep") == ["er"]


def test_a_layout_that_fails_leaves_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    target = tmp_path / "layouts" / "version"
    with pytest.raises(Corrupt, match="b"):
        blobs.link_into(target, {"a": blobs.put_bytes(b"a"), "b": FileEntry(sha256="0" * 64, size=1)})
    assert os.listdir(target.parent) == []


def test_another_file_system_gets_copies(blobs: BlobStore) -> None:
    entry = blobs.put_bytes(b"abc")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shm:
        folder = Path(shm) / "version"
        blobs.link_into(folder, {"a": entry})
        assert (folder / "a").read_bytes() == b"abc"
        assert folder.stat().st_dev != blobs.path(entry.sha256).stat().st_dev
        (folder / "b").write_bytes(b"from elsewhere")
        assert blobs.has(blobs.put_file(folder / "b").sha256)


def test_removal_spares_what_just_came(blobs: BlobStore) -> None:
    digest = blobs.put_bytes(b"abc").sha256
    assert not blobs.remove(digest, grace=60)
    assert blobs.has(digest)
    assert blobs.remove(digest, grace=0)
    assert not blobs.remove(digest, grace=0)
    assert not blobs.has(digest)
