import dataclasses
import hashlib
from pathlib import Path

import msgspec
import pytest

from control_seed import add_tenant
from modelyard.control.platform import Platform
from modelyard.control.services import upload_parts, uploads
from modelyard.control.services.partials import Partials
from modelyard.errors import Busy, Conflict, Corrupt, InvalidInput, NotAllowedFormat, NotFound, TooLarge
from modelyard.store.blobs import BlobStore
from modelyard.store.garbage import collect_garbage

DATA = b"0123456789" * 10


def opened(platform: Platform, size: int = len(DATA), sha256: str | None = None, name: str = "a.csv") -> str:
    return upload_parts.open_session(platform, "default", name, size, sha256).id


def put(platform: Platform, session: str, offset: int, data: bytes) -> None:
    with platform.partials.writing(session):
        writer = upload_parts.begin_part(platform, "default", session, offset)
        try:
            writer.write(data)
        finally:
            writer.close()


def offset(platform: Platform, session: str) -> int:
    return upload_parts.show(platform, "default", session).offset


def left(platform: Platform) -> list[Path]:
    return [*platform.home.partials.iterdir(), *platform.home.temporary.iterdir()]


def restarted(platform: Platform) -> Platform:
    """What a new process has: the rows and the files, no digest's state."""
    return dataclasses.replace(platform, partials=Partials())


def test_parts_become_one_upload(platform: Platform) -> None:
    session = opened(platform, sha256=hashlib.sha256(DATA).hexdigest())
    for start in range(0, len(DATA), 30):
        put(platform, session, start, DATA[start : start + 30])
    made = upload_parts.finish(platform, "default", session)
    assert (made.sha256, made.size, made.filename) == (hashlib.sha256(DATA).hexdigest(), 100, "a.csv")
    assert platform.blobs.path(made.sha256).read_bytes() == DATA
    assert upload_parts.finish(platform, "default", session) == made  # its answer may have been lost
    assert left(platform) == []
    with pytest.raises(NotFound):
        upload_parts.show(platform, "default", session)


def test_it_goes_on_after_a_restart(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(platform)
    put(platform, session, 0, DATA[:33])
    again = restarted(platform)
    assert offset(again, session) == 33
    put(again, session, 33, DATA[33:])
    monkeypatch.setattr(BlobStore, "adopt_file", _killed)
    with pytest.raises(KeyboardInterrupt):
        upload_parts.finish(again, "default", session)
    monkeypatch.undo()
    made = upload_parts.finish(restarted(platform), "default", session)
    assert platform.blobs.path(made.sha256).read_bytes() == DATA


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_part_must_follow(platform: Platform) -> None:
    session = opened(platform)
    put(platform, session, 0, DATA[:10])
    for wrong in (0, 9, 11, 100):
        with pytest.raises(Conflict, match="allowed: offset 10"):
            put(platform, session, wrong, b"x")
    with pytest.raises(TooLarge):
        put(platform, session, 10, DATA)
    with pytest.raises(Conflict, match="not all"):
        upload_parts.finish(platform, "default", session)
    with platform.partials.writing(session), pytest.raises(Conflict, match="another request"):
        put(platform, session, 10, b"x")
    put(platform, session, 10, DATA[10:])
    upload_parts.finish(platform, "default", session)


def test_nothing_is_kept_of_another_digest_or_a_pickle(platform: Platform) -> None:
    session = opened(platform, sha256="ab" * 32)
    put(platform, session, 0, DATA)
    with pytest.raises(Corrupt):
        upload_parts.finish(platform, "default", session)
    pickled = b"\x80\x04cos\nsystem\n(S'x'\ntR."
    session = opened(platform, size=len(pickled), name="model.onnx")
    put(platform, session, 0, pickled)
    with pytest.raises(NotAllowedFormat):
        upload_parts.finish(platform, "default", session)
    assert left(platform) == []
    assert list(platform.home.blobs.rglob("*")) == []


@pytest.mark.parametrize(
    ("name", "size", "sha256", "error"),
    [("a.pkl", 1, None, NotAllowedFormat), ("a.csv", 0, None, InvalidInput), ("a.csv", -5, None, InvalidInput),
     ("a.csv", 1, "x", InvalidInput), ("..", 1, None, InvalidInput), ("a.csv", 1 << 59, None, TooLarge)],
)  # fmt: skip
def test_what_cannot_be_opened(
    platform: Platform, name: str, size: int, sha256: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        opened(platform, size, sha256, name)
    assert left(platform) == []


def test_what_is_on_its_way_counts(platform: Platform) -> None:
    small = dataclasses.replace(platform, config=msgspec.structs.replace(platform.config, storage_bytes=150))
    session = opened(small, 100)
    with pytest.raises(Busy):
        opened(small, 60)
    with pytest.raises(Busy):
        uploads.begin(small, "default", "a.csv", 60)
    upload_parts.delete(small, "default", session)
    opened(small, 60)


def test_another_tenants_session_is_not_found(platform: Platform) -> None:
    add_tenant(platform, "other")
    session = opened(platform)
    for ask in (upload_parts.show, upload_parts.finish, upload_parts.delete):
        with pytest.raises(NotFound):
            ask(platform, "other", session)
    with pytest.raises(NotFound):
        upload_parts.show(platform, "default", "../../etc/passwd")


def test_an_abandoned_one_is_collected(platform: Platform) -> None:
    session = opened(platform)
    put(platform, session, 0, DATA[:10])
    upload_parts.expire(platform)
    assert offset(platform, session) == 10
    tomorrow = dataclasses.replace(platform, now=lambda: platform.now() + upload_parts.KEPT_SECONDS + 1)
    upload_parts.expire(tomorrow)
    assert left(platform) == []
    with pytest.raises(NotFound):
        upload_parts.show(platform, "default", session)
    collect_garbage(platform.database, platform.blobs, platform.home, grace=0)
