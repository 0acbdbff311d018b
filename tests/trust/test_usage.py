"""What is counted of memory and disks."""

import math
import mmap
import os

from modelyard.trust.usage import memory, threads, unlinked, written

MIB = 1 << 20


def test_what_lies_in_folders(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x").write_bytes(b"x" * (3 * MIB))
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 1 << 40)
    (tmp_path / "link").symlink_to("/usr")
    assert 3 * MIB <= written([tmp_path]) < 4 * MIB
    assert written([tmp_path / "absent"]) == 0


def test_many_empty_files_count(tmp_path):
    for n in range(1000):
        (tmp_path / str(n)).touch()
    assert written([tmp_path]) >= 1000 * 512


def test_folders_that_are_too_deep(tmp_path):
    deep = tmp_path.joinpath(*["d"] * 150)
    deep.mkdir(parents=True)
    assert written([tmp_path]) < math.inf
    deep.joinpath(*["d"] * 60).mkdir(parents=True)
    assert written([tmp_path]) == math.inf


def test_files_without_a_name(tmp_path):
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.write(b"x" * (2 * MIB))
        file.flush()
        before = unlinked([os.getpid()])
        path.unlink()
        assert unlinked([os.getpid()]) - before >= 2 * MIB


def test_memory_that_is_touched_and_shared():
    pid = os.getpid()
    before = memory([pid], 1 << 50)
    with mmap.mmap(-1, 64 * MIB) as shared:
        untouched = memory([pid], 1 << 50)
        for place in range(0, len(shared), mmap.PAGESIZE):
            shared[place] = 1
        touched = memory([pid], 1 << 50)
        assert memory([pid], 0) > 64 * MIB  # by the slower way, which tells what is shared
    assert untouched - before < 16 * MIB
    assert touched - untouched > 48 * MIB


def test_threads_are_counted():
    assert threads([os.getpid()]) >= 1
