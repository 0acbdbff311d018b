import pytest

from control_seed import add_run
from modelyard.control.services import artifacts
from modelyard.errors import InvalidInput, NotFound
from modelyard.store.garbage import collect_garbage
from modelyard.store.work import Run


def put(platform, run_id, files):
    with platform.database.write() as session:
        run = session.get_one(Run, run_id)
        entries = {path: platform.blobs.put_bytes(data) for path, data in files.items()}
        artifacts.publish(session, run, entries, 1.0)


def shelf(session, run_id):
    return artifacts.shelf_of(session.get_one(Run, run_id))


def test_publishing_listing_and_finding(platform):
    run_id = add_run(platform, state="succeeded", kind="script")
    put(platform, run_id, {"a.txt": b"a", "d/b.txt": b"bb", "d/e/c.txt": b"ccc", "dd": b"x"})
    with platform.database.read() as session:
        mine = shelf(session, run_id)
        assert [(a.path, a.is_dir, a.size) for a in artifacts.listing(session, mine, "")] == [
            ("a.txt", False, 1), ("d", True, None), ("dd", False, 1),
        ]  # fmt: skip
        assert [a.path for a in artifacts.listing(session, mine, "d")] == ["d/b.txt", "d/e"]
        assert set(artifacts.tree(session, mine, "d")) == {"b.txt", "e/c.txt"}
        assert artifacts.find(session, mine, "d/b.txt").size == 2
        with pytest.raises(NotFound):
            artifacts.find(session, mine, "d")


def test_bytes_stay_as_long_as_a_path_has_them(platform):
    run_id = add_run(platform, state="succeeded", kind="script")
    put(platform, run_id, {"one": b"same", "two": b"same", "three": b"other"})
    put(platform, run_id, {"three": b"new"})
    with platform.database.write() as session:
        digest = artifacts.find(session, shelf(session, run_id), "two").sha256
        assert artifacts.remove(session, shelf(session, run_id), "one")
    collect_garbage(platform.database, platform.blobs, platform.home, grace=-1)
    assert platform.blobs.has(digest)
    with platform.database.write() as session:
        assert artifacts.remove(session, shelf(session, run_id), "two")
        assert not artifacts.remove(session, shelf(session, run_id), "two")
    collected = collect_garbage(platform.database, platform.blobs, platform.home, grace=-1)
    assert not platform.blobs.has(digest)
    assert collected.blobs == 1


def test_a_folder_goes_with_all_in_it(platform):
    run_id = add_run(platform, state="succeeded", kind="script")
    put(platform, run_id, {"d/a": b"1", "d/e/b": b"2", "d%": b"3", "D/x": b"4"})
    with platform.database.write() as session:
        assert artifacts.remove(session, shelf(session, run_id), "d")
        assert set(artifacts.tree(session, shelf(session, run_id), "")) == {"d%", "D/x"}


@pytest.mark.parametrize(
    ("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b"), ("a/b", "a/b/c/d")]
)
def test_a_file_is_no_folder(platform, first, second):
    run_id = add_run(platform, state="succeeded", kind="script")
    put(platform, run_id, {first: b"1"})
    with pytest.raises(InvalidInput):
        put(platform, run_id, {second: b"1"})


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a\\b", "a\0", "a\n", "\ud800", "a" * 256]
)
def test_paths_that_are_none(path):
    with pytest.raises(InvalidInput):
        artifacts.check_path(path)


def test_paths_that_may_be():
    for path in ("a", "a b/ü.txt", "..a/b..", "a/%2e%2e/b", "…/🎈"):
        assert artifacts.check_path(path) == path
