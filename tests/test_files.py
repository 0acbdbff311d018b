import os
from pathlib import Path

from modelyard.files import remove_tree


def test_a_folder_of_any_depth_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "link").symlink_to(tmp_path / "kept")
    here = os.open(gone, os.O_RDONLY)
    for _ in range(1200):  # deeper than Python's own stack
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    remove_tree(gone)
    assert not gone.exists()
    assert (tmp_path / "kept" / "file").exists()
    remove_tree(gone)  # what is not there is no error
