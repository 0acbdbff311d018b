import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.control.platform import Platform
from modelyard.control.services import runs, uploads
from modelyard.control.services.uploads import clean_name
from modelyard.errors import Busy, Conflict, InvalidInput, NotAllowedFormat, NotFound, TooLarge
from modelyard.store.garbage import collect_garbage
from services_upload import put


def limited(platform: Platform, **limits: int) -> Platform:
    return dataclasses.replace(platform, config=msgspec.structs.replace(platform.config, **limits))


@pytest.mark.parametrize("name", ["m.pkl", "M.PKL", "a/b.joblib", "w.pt", "w.pth", "x.pickle"])
def test_pickles_are_refused_before_they_come(platform: Platform, name: str) -> None:
    with pytest.raises(NotAllowedFormat):
        uploads.begin(platform, "default", name, None)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickles_are_refused_by_any_name(platform: Platform, protocol: int) -> None:
    pickled = bytes([0x80, protocol]) + b"]q\x00K\x01a."  # [1], written by hand
    with pytest.raises(NotAllowedFormat):
        put(platform, pickled, "table.csv")


@given(st.text())
def test_a_clean_name_stays_in_its_folder(name: str) -> None:
    try:
        clean = clean_name(name)
    except InvalidInput:
        return
    assert 0 < len(clean) <= 150
    assert clean.isprintable()
    assert not clean.startswith((".", " "))
    assert not set("/\\\0") & set(clean)
    assert clean_name(clean) == clean


def test_limits(platform: Platform) -> None:
    with pytest.raises(TooLarge, match="allowed: 10 bytes"):
        uploads.begin(limited(platform, upload_bytes=10), "default", "a.csv", 11)
    with pytest.raises(TooLarge):
        put(limited(platform, upload_bytes=10), b"x" * 11)
    with pytest.raises(InvalidInput, match="empty"):
        put(platform, b"")
    put(platform, b"x" * 100)
    with pytest.raises(Busy, match="storage"):
        uploads.begin(limited(platform, storage_bytes=150), "default", "a.csv", 60)
    with pytest.raises(TooLarge):
        put(limited(platform, storage_bytes=150), b"y" * 60)
    assert list(platform.home.temporary.iterdir()) == []


def test_an_abandoned_upload_is_collected_and_one_that_a_run_waits_for_is_not(platform: Platform) -> None:
    lost, kept = put(platform, b"lost"), put(platform, b"kept")
    run = runs.submit_dataset(platform, "default", "colours", [kept.id], {})
    tomorrow = dataclasses.replace(platform, now=lambda: platform.now() + uploads.KEPT_SECONDS + 1)
    uploads.expire(tomorrow)
    collect_garbage(platform.database, platform.blobs, platform.home, grace=0)
    assert not platform.blobs.has(lost.sha256)
    assert platform.blobs.has(kept.sha256)
    runs.cancel(platform, "default", run.id)
    uploads.expire(tomorrow)
    collect_garbage(platform.database, platform.blobs, platform.home, grace=0)
    assert not platform.blobs.has(kept.sha256)
    with pytest.raises(NotFound):
        runs.submit_dataset(platform, "default", "colours", [kept.id], {})


def test_what_a_data_set_is_made_of(platform: Platform) -> None:
    one, two = put(platform, b"1", "a.csv"), put(platform, b"2", "x/a.csv")
    with pytest.raises(InvalidInput, match="same file name"):
        runs.submit_dataset(platform, "default", "colours", [one.id, two.id], {})
    with pytest.raises(InvalidInput, match="built-in"):
        runs.submit_dataset(platform, "default", "colours", [], {})
    with pytest.raises(InvalidInput, match="built-in"):
        runs.submit_dataset(platform, "default", "colours", [one.id], {"builtin": "digits"})
    with pytest.raises(InvalidInput, match="did you mean 'digits'"):
        runs.submit_dataset(platform, "default", "colours", [], {"builtin": "digit"})
    with pytest.raises(InvalidInput, match="did you mean 'label'"):
        runs.submit_dataset(platform, "default", "colours", [one.id], {"lable": "x"})
    with pytest.raises(InvalidInput, match="name"):
        runs.submit_dataset(platform, "default", "../colours", [one.id], {})
    with pytest.raises(Conflict):
        runs.cancel(platform, "default", _ended(platform, one.id))


def _ended(platform: Platform, upload: str) -> str:
    from modelyard.store.work import Run

    run = runs.submit_dataset(platform, "default", "colours", [upload], {})
    with platform.database.write() as session:
        runs.end(session, session.get_one(Run, run.id), "failed", 1.0)
    return run.id
