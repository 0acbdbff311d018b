import pytest

from modelyard.errors import Corrupt, InvalidInput
from modelyard.packages import bundle
from modelyard.types.package import FileEntry


def test_a_manifest_is_read_as_it_was_written() -> None:
    files = {"package/model.json": FileEntry(sha256="ab" * 32, size=3)}
    manifest = bundle.BundleManifest(model="m", task="t", digest="cd" * 32, version=3, files=files)
    assert bundle.decode(bundle.encode(manifest)) == manifest


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"model":1}', b"\xff", b"[" * 100_000])
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(Corrupt, match="not a bundle's"):
        bundle.decode(data)


def test_another_format_version() -> None:
    manifest = bundle.BundleManifest(format_version=2, model="m", task="t", digest="x", version=1)
    with pytest.raises(InvalidInput, match="format version"):
        bundle.decode(bundle.encode(manifest))
