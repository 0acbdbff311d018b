"""What hostile code leaves, really left by it, is not followed."""

import os
from pathlib import Path

import pytest

from boxes import Cell, needs_bubblewrap
from modelyard.errors import InvalidInput, NotFound, TooLarge
from modelyard.trust.leavings import check_plain, read_plain


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    (tmp_path / "cell").mkdir()
    (tmp_path / "secret").write_text("SECRET")
    return Cell(folder=tmp_path / "cell")


def test_files_and_folders_are_taken(cell):
    (cell.folder / "a/b").mkdir(parents=True)
    (cell.folder / "a/b/x").write_text("content")
    check_plain(cell.folder)
    assert read_plain(cell.folder / "a/b/x", 7) == b"content"
    with pytest.raises(TooLarge):
        read_plain(cell.folder / "a/b/x", 6)
    with pytest.raises(NotFound):
        read_plain(cell.folder / "absent", 10)
    with pytest.raises(NotFound):
        check_plain(cell.folder / "absent")


@needs_bubblewrap
@pytest.mark.parametrize(
    "code",
    [
        "os.symlink('{secret}', 'x')",
        "os.symlink('{folder}', 'x')",
        "os.symlink('/dev/zero', 'x')",
        "os.mkfifo('x')",
        "import socket; socket.socket(socket.AF_UNIX).bind('x')",
        "os.mkdir('d'); os.chdir('d'); os.symlink('{secret}', 'x')",
    ],
)
def test_what_leads_elsewhere_is_not(cell, code):
    named = {"secret": cell.folder.parent / "secret", "folder": cell.folder.parent}
    inside = cell.run("import os\n" + code.format(**named))
    assert inside.ended.code == 0, inside.output
    with pytest.raises(InvalidInput, match=r"links, pipes and devices are not taken; came: (d/)?x"):
        check_plain(cell.folder)
    left = cell.folder / ("d/x" if (cell.folder / "d").exists() else "x")
    with pytest.raises(InvalidInput, match="no plain file"):
        read_plain(left, 1000)


@needs_bubblewrap
def test_a_folder_that_was_replaced(cell):
    """By a link to where the platform would then write."""
    (cell.folder / "models").mkdir()
    cell.run(f"import os\nos.rmdir('models')\nos.symlink({str(cell.folder.parent)!r}, 'models')")
    with pytest.raises(InvalidInput, match="no folder"):
        check_plain(cell.folder / "models")


@needs_bubblewrap
def test_too_much(cell):
    cell.run("import os\nfor n in range(60): os.mkdir('d'); os.chdir('d')")
    with pytest.raises(TooLarge, match="too deep"):
        check_plain(cell.folder)
    (cell.folder / "many").mkdir()
    for n in range(20):
        (cell.folder / f"many/{n}").touch()
    with pytest.raises(TooLarge, match="too many"):
        check_plain(cell.folder / "many", most=19)
    check_plain(cell.folder / "many", most=20)
    assert os.listdir(cell.folder / "many")
