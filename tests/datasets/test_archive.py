"""Zips that strangers made: nothing is written outside, nothing is unpacked without a bound."""

import io
import stat
import struct
import zipfile

import numpy as np
import pytest

from modelyard.datasets.archive import MAX_ENTRIES
from modelyard.errors import InvalidInput, NotAllowedFormat, TooLarge

CSV = "a,b\n" + "1,x\n2,y\n" * 20


def write_zip(path, names, mode=0, data=CSV):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../outside.csv",
        "a/../../outside.csv",
        "/outside.csv",
        "..\\outside.csv",
        "c:/a.csv",
        "a/..",
        "a\\b.csv",
    ],
)
def test_names_that_lead_out(add, tmp_path, name):
    with pytest.raises(NotAllowedFormat, match="leads out of it"):
        add(write_zip(tmp_path / "a.zip", [name]))
    assert not list(tmp_path.rglob("*outside*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices(add, tmp_path, kind):
    with pytest.raises(NotAllowedFormat, match=r"'a.csv' is a link or a device"):
        add(write_zip(tmp_path / "a.zip", ["a.csv"], kind | 0o777, "/etc/passwd"))


def test_names_that_collide(add, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        write_zip(tmp_path / "a.zip", ["a.csv", "a.csv"])
    with pytest.raises(NotAllowedFormat, match=r"'a.csv' twice"):
        add(tmp_path / "a.zip")


def test_a_bomb(add, tmp_path):
    with pytest.raises(TooLarge, match="unpacks to too much"):
        add(write_zip(tmp_path / "a.zip", ["a.csv"], data=b"0" * 200_000_000))


def test_members_that_overlap(add, tmp_path):
    path = write_zip(tmp_path / "a.zip", ["a.csv", "b.csv"])
    data = path.read_bytes()
    second = data.rindex(b"PK\x01\x02")
    path.write_bytes(data[: second + 42] + bytes(4) + data[second + 46 :].replace(b"b.csv", b"c.csv"))
    with pytest.raises((InvalidInput, NotAllowedFormat), match=r"overlap|damaged"):
        add(path)
    size = data.index(b"PK\x01\x02") + 20
    path.write_bytes(data[:size] + struct.pack("<L", 100_000) + data[size + 4 :])
    with pytest.raises(NotAllowedFormat, match="more bytes than the zip has"):
        add(path)


def test_a_directory_that_says_more_entries_than_allowed(add, tmp_path):
    path = write_zip(tmp_path / "a.zip", ["a.csv"])
    data = path.read_bytes()
    place = len(data) - 22
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, MAX_ENTRIES + 1, 64, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, place, 1)
    path.write_bytes(data[:place] + end64 + locator + data[place:])
    with pytest.raises(TooLarge, match="1,000,001 entries; allowed: at most 1,000,000"):
        add(path)


def test_damaged_zips(add, tmp_path):
    whole = write_zip(tmp_path / "a.zip", ["a.csv"]).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    with pytest.raises(InvalidInput, match=r"'cut.zip' is not a zip that can be read"):
        add(tmp_path / "cut.zip")
    place = whole.index(b"a.csv") + 10
    (tmp_path / "flipped.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    with pytest.raises(InvalidInput, match=r"'a.csv' cannot be|damaged"):
        add(tmp_path / "flipped.zip")


def test_what_is_not_data_inside(add, tmp_path):
    inner = write_zip(tmp_path / "inner.zip", ["a.csv"]).read_bytes()
    with pytest.raises(NotAllowedFormat, match="a zip in a zip"):
        add(write_zip(tmp_path / "a.zip", ["inner.zip"], data=inner))
    with pytest.raises(NotAllowedFormat, match=r"'archive/data.pkl'.*may hold code"):
        add(write_zip(tmp_path / "model.zip", ["archive/data.pkl", "a.csv"]))
    with pytest.raises(InvalidInput, match="has no files"):
        add(write_zip(tmp_path / "none.zip", []))


def test_tables_and_npz_in_a_zip(add, tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    plain = add(tmp_path / "a.csv")
    assert add(write_zip(tmp_path / "a.zip", ["x/a.csv", "x/README.md"])).digest == plain.digest
    file = io.BytesIO()
    np.savez(file, a=np.array([1, 2] * 20))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "a.csv", "train.csv")
        archive.write(tmp_path / "a.csv", "test.csv")
    assert add(tmp_path / "b.zip").manifest.split_rows == {"train": 36, "validation": 4, "test": 40}
