import pytest

from modelyard.control.services import api_files
from modelyard.control.services.api_files import NewFile
from modelyard.errors import Busy, NotAllowedFormat, TooLarge
from modelyard.store.openai import ApiFile
from modelyard.store.tables import BlobLink
from modelyard.types.process import PlatformConfig


def keep(platform, data=b"x", purpose="user_data", expires_in=None, filename="a.txt"):
    with api_files.begin(platform, "default", filename, len(data)) as writer:
        writer.write(data)
        new = NewFile(filename=filename, purpose=purpose, expires_in=expires_in)
        return api_files.finish(platform, "default", new, writer)


def rows(platform):
    with platform.database.read() as session:
        return [row.id for row in session.query(ApiFile)], [link.owner for link in session.query(BlobLink)]


def test_what_was_to_go_goes(platform):
    kept, gone = keep(platform), keep(platform, expires_in=100.0)
    object.__setattr__(platform, "now", lambda: gone.created_at + 99)
    api_files.expire(platform)
    assert rows(platform)[0] == [kept.id, gone.id]
    object.__setattr__(platform, "now", lambda: gone.created_at + 100)
    with platform.database.read() as session:
        assert api_files.find(session, "default", gone.id, platform.now()) is None
        assert api_files.find(session, "default", kept.id, platform.now()).id == kept.id
    api_files.expire(platform)
    assert rows(platform) == ([kept.id], [kept.id])


def test_another_tenants_is_not_there(platform):
    row = keep(platform)
    with platform.database.read() as session:
        assert api_files.find(session, "other", row.id, 0.0) is None


def test_the_storage_of_a_tenant_counts(platform):
    small = PlatformConfig(storage_bytes=10, upload_bytes=8)
    object.__setattr__(platform, "config", small)
    keep(platform, b"12345678")
    with pytest.raises(Busy, match="storage of this tenant is full"):
        keep(platform, b"345")
    with pytest.raises(TooLarge):
        keep(platform, b"123456789")


def test_a_batch_has_a_size(platform, monkeypatch):
    monkeypatch.setitem(api_files._LARGEST, "batch", 10)
    with pytest.raises(TooLarge, match="for the purpose batch"):
        keep(platform, b"x" * 11, "batch")


@pytest.mark.parametrize(
    ("filename", "data"), [("m.pkl", b"x"), ("a.txt", b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.")]
)
def test_pickles_are_refused(platform, filename, data):
    with pytest.raises(NotAllowedFormat):
        keep(platform, data, filename=filename)
    assert list(platform.home.temporary.iterdir()) == []
