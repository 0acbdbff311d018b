import struct
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brought_models import tarred, zipped
from modelyard.errors import Corrupt, ModelyardError, NotAllowedFormat, TooLarge
from modelyard.trust.inspection.archives import check_name
from modelyard.trust.inspection.tars import tar_members
from modelyard.trust.inspection.zips import open_zip, unpack_zip

BAD_NAMES = [
    "../x",
    "/etc/x",
    "a/../../x",
    "a//b",
    "a\\b",
    "C:/x",
    "./x",
    "a/./b",
    "",
    "a/" * 20 + "x",
    "x" * 300,
    "a\nb",
    "a\0b",
]


def unpacked(path: Path, out: Path) -> list[str]:
    out.mkdir()
    if path.suffix == ".zip":
        unpack_zip(path, path.name, out)
    else:
        list(tar_members(path, path.name, out))
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotAllowedFormat):
        check_name(name, "a.zip")
    if name and "\0" not in name and not name.startswith("./"):  # tars of folders name all files so
        with pytest.raises(ModelyardError):
            unpacked(tarred(tmp_path / "a.tar", [entry(name)], b"x"), tmp_path / "out")
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd/x", "a/../../x", "a\\..\\x"])
def test_a_zip_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("placeholder")
        info.filename = info.orig_filename = name
        archive.writestr(info, b"x")
    with pytest.raises(NotAllowedFormat):
        unpacked(path, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a"),
        ("A", "a"),
        ("é", unicodedata.normalize("NFD", "é")),
        ("a", "a/b"),
        ("a/b", "A/B"),
        ("ß", "SS"),
    ],
)
def test_names_that_collide(tmp_path: Path, names: tuple[str, str]) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            archive.NameToInfo.clear()
            archive.writestr(info, b"x")
    tar = tarred(tmp_path / "a.tar", [entry(name) for name in names], b"x")
    for archive_path in (path, tar):
        with pytest.raises(NotAllowedFormat, match="collide"):
            unpacked(archive_path, tmp_path / f"out-{archive_path.suffix[1:]}")


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060660, 0o010644, 0o140755])
def test_links_and_devices_in_a_zip(tmp_path: Path, mode: int) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        info.external_attr = mode << 16

    with pytest.raises(NotAllowedFormat, match="link or a device"):
        open_zip(zipped(tmp_path / "a.zip", {"x": b"/etc/passwd"}, change), "a.zip")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes, suffix: str) -> None:
    path = tarred(tmp_path / f"a.{suffix}", [entry("x", kind, "/etc/passwd"), entry("x/y")], b"x")
    with pytest.raises(NotAllowedFormat, match="link"):
        unpacked(path, tmp_path / "out")


def test_bombs(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(100):
            file.write(bytes(1 << 20))
    with pytest.raises(TooLarge, match="too much"):
        open_zip(path, "a.zip")
    tar = tarred(tmp_path / "a.tar.gz", [entry("zeros")], bytes(100 << 20))
    with pytest.raises(TooLarge, match="times its size"):
        list(tar_members(tar, "a.tar.gz"))


def test_a_member_that_says_less_than_it_has(tmp_path: Path) -> None:
    """A size of 1 in the directory, and a megabyte that is packed: no more than what was said is ever written."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 1)
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        unpacked(path, tmp_path / "out")


def test_a_million_entries(tmp_path: Path) -> None:
    """The end record is enough: the directory is not read."""
    path = zipped(tmp_path / "a.zip", {"x": b""})
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\x05\x06")
    data[end + 8 : end + 12] = struct.pack("<HH", 60_000, 60_000)
    path.write_bytes(data)
    with pytest.raises(TooLarge, match="entries"):
        open_zip(path, "a.zip")


def test_too_many_files(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {f"f{n}": b"" for n in range(10_001)})
    with pytest.raises(TooLarge):
        open_zip(path, "a.zip")


def test_members_with_two_names_or_places(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"first": b"1", "other": b"2"})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"other", b"OTHER", 1))  # in the local header alone
    with pytest.raises(NotAllowedFormat, match="two names"):
        open_zip(path, "a.zip")
    path.write_bytes(b"MZ this is a program" + whole)
    with pytest.raises(ModelyardError):
        open_zip(path, "a.zip")


def test_encrypted_and_rare(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x", b"x" * 100)
    with pytest.raises(NotAllowedFormat, match="rare way"):
        open_zip(path, "a.zip")


def test_what_is_good_comes_out_as_it_was(tmp_path: Path) -> None:
    names = ["a.txt", "folder/b.txt", "folder/deep/ü.txt", "l" * 60 + "/" + "n" * 60]
    path = zipped(tmp_path / "a.zip", {n: n.encode() for n in names})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._a.txt", b"clutter")
        archive.mkdir("empty")
    assert unpacked(path, tmp_path / "zip") == sorted(names)
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        tar = tmp_path / f"{format}.tar.gz"
        with tarfile.open(tar, "w:gz", format=format) as archive:  # type: ignore[assignment]
            archive.add(tmp_path / "zip", ".")  # type: ignore[attr-defined]
        assert unpacked(tar, tmp_path / f"tar{format}") == sorted(names)
    for name in names:
        assert (tmp_path / f"tar{tarfile.PAX_FORMAT}" / name).read_bytes() == name.encode()


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_is_an_error_of_ours(tmp_path: Path, data: st.DataObject) -> None:
    whole = tmp_path / "whole.zip"
    if not whole.exists():
        zipped(whole, {"a": b"x" * 50, "b/c": b"y" * 50})
        tarred(tmp_path / "whole.tar", [entry("a"), entry("b" * 120)], b"z" * 50)
    name = data.draw(st.sampled_from(["whole.zip", "whole.tar"]))
    content = bytearray((tmp_path / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    broken = tmp_path / f"broken{Path(name).suffix}"
    broken.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        if name.endswith("zip"):
            open_zip(broken, "x").close()
        else:
            list(tar_members(broken, "x"))
    except ModelyardError:
        pass
