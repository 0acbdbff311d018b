import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.client import folder_zip
from modelyard.client.folder_zip import FolderZip
from modelyard.errors import InvalidInput
from modelyard.trust.inspection.zips import open_zip

CONTENT = {"a.txt": b"first", "deep/er/b.bin": b"x" * 3000, "empty": b"", "ü.txt": "grün".encode()}


@pytest.fixture(params=[folder_zip._LARGE, 100], ids=["small", "as if large"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With files, hidden ones and a link; once with ZIP64's fields for all that is over 100 bytes."""
    monkeypatch.setattr(folder_zip, "_LARGE", request.param)
    root = tmp_path / "folder"
    for name, data in {**CONTENT, ".hidden": b"no", ".git/config": b"no"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "link").symlink_to("/etc/passwd")
    return root


def test_it_is_a_zip_of_what_lies_there(folder: Path, tmp_path: Path) -> None:
    made = FolderZip(folder)
    data = b"".join(made.parts(0, made.size))
    assert len(data) == made.size
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == CONTENT
    (tmp_path / "made.zip").write_bytes(data)
    open_zip(tmp_path / "made.zip", "made.zip").close()  # which is stricter
    assert b"".join(FolderZip(folder).parts(0, made.size)) == data


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_part_is_that_part_of_the_whole(folder: Path, data: st.DataObject) -> None:
    made = FolderZip(folder)
    whole = b"".join(made.parts(0, made.size))
    start = data.draw(st.integers(0, made.size))
    length = data.draw(st.integers(0, made.size - start))
    assert b"".join(FolderZip(folder).parts(start, length)) == whole[start : start + length]


def test_what_cannot_be_packed(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="no file"):
        FolderZip(tmp_path)
    (tmp_path / "shrinks").write_bytes(b"x" * 100)
    made = FolderZip(tmp_path)
    (tmp_path / "shrinks").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="shorter"):
        list(made.parts(0, made.size))
