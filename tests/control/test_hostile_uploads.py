"""The Uploads lines of what the system must withstand, over HTTP, against a real platform."""

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brought_models
from bare_platform import Bare, refusal
from brought_models import tarred, zipped

pytestmark = pytest.mark.slow  # a whole platform


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    with Bare(tmp_path_factory.mktemp("hostile") / "home") as bare:
        yield bare


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    brought_models.write_keras(folder)
    return folder


@pytest.fixture(autouse=True)
def nothing_left(bare: Bare) -> Iterator[None]:
    """No run was queued, no partial file stays, and a good request is answered."""
    before = len(bare.http.get("/runs").json()["items"])
    yield
    assert len(bare.http.get("/runs").json()["items"]) == before
    assert list(bare.home.temporary.iterdir()) == []
    assert list(bare.home.partials.iterdir()) == []
    assert bare.http.get("/models").json()["items"] == []


def pickles() -> Iterator[tuple[str, bytes]]:
    import joblib
    import torch

    for protocol in range(6):
        yield f"renamed-{protocol}.onnx", pickle.dumps({"a": np.arange(3)}, protocol=protocol)
    for name in ("m.pkl", "m.pt", "m.pth", "m.joblib", "m.pickle", "m.ckpt"):
        yield name, b"anything"
    out = io.BytesIO()
    joblib.dump({"a": np.arange(50.0)}, out)
    yield "joblib.onnx", out.getvalue()
    out = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, out)
    yield "pytorch_model.bin", out.getvalue()
    out = io.BytesIO()
    np.save(out, np.array([{}], dtype=object), allow_pickle=True)
    yield "objects.npy", out.getvalue()


@pytest.mark.parametrize(("name", "data"), list(pickles()), ids=[name for name, _ in pickles()])
def test_pickles(bare: Bare, name: str, data: bytes) -> None:
    assert refusal(bare.upload(data, name)) == (422, "format_not_allowed")
    opened = bare.http.post("/uploads/sessions", json={"filename": name, "size": len(data)})
    if opened.status_code == 201:
        where = f"/uploads/sessions/{opened.json()['id']}"
        assert bare.http.put(where, params={"offset": 0}, content=data).json()["offset"] == len(data)
        opened = bare.http.post(f"{where}/finish")
    assert refusal(opened) == (422, "format_not_allowed")


@pytest.mark.parametrize("inside", ["model.pkl", "deep/weights.dat", "objects.npy"])
def test_pickles_in_archives(bare: Bare, tmp_path: Path, inside: str) -> None:
    data = dict(pickles())["objects.npy" if inside.endswith("npy") else "renamed-4.onnx"]
    packed = zipped(tmp_path / "a.zip", {"readme.txt": b"hello", inside: data}).read_bytes()
    assert refusal(bare.bring(packed, "a.zip")) == (422, "format_not_allowed")
    tar = tarred(tmp_path / "a.tar.gz", [tarfile.TarInfo(inside)], data).read_bytes()
    assert refusal(bare.bring(tar, "a.tar.gz")) == (422, "format_not_allowed")


def archives(folder: Path) -> Iterator[tuple[str, Path, int]]:
    def named(name: str) -> Path:
        path = folder / f"named-{abs(hash(name))}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            info = zipfile.ZipInfo("placeholder")
            info.filename = info.orig_filename = name
            archive.writestr(info, b"x")
        return path

    def linked(info: zipfile.ZipInfo) -> None:
        info.external_attr = 0o120777 << 16

    yield "leads out", named("../outside"), 422
    yield "absolute", named("/outside-of-all"), 422
    yield "a link", zipped(folder / "link.zip", {"x": b"/etc/passwd"}, linked), 422
    for kind in (tarfile.SYMTYPE, tarfile.CHRTYPE):
        info = tarfile.TarInfo("x")
        info.type, info.linkname = kind, "/etc/passwd"
        yield f"a tar of kind {kind!r}", tarred(folder / f"kind{kind.decode()}.tar", [info]), 422
    yield "a tar that leads out", tarred(folder / "out.tar.gz", [tarfile.TarInfo("../outside")], b"x"), 422
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(100 << 20))
    yield "a bomb", folder / "bomb.zip", 413
    yield "a tar bomb", tarred(folder / "bomb.tar.gz", [tarfile.TarInfo("zeros")], bytes(100 << 20)), 413
    yield "too many", zipped(folder / "many.zip", {f"f{n}": b"" for n in range(10_001)}), 413
    yield "case", zipped(folder / "case.zip", {"a": b"", "A": b""}), 422
    yield "composition", zipped(folder / "nfc.zip", {"\u00e9": b"", "e\u0301": b""}), 422
    cut = zipped(folder / "cut.zip", {"a": b"x" * 1000})
    cut.write_bytes(cut.read_bytes()[:500])
    yield "cut off", cut, 422


def test_archives(bare: Bare, tmp_path: Path) -> None:
    for what, path, status in archives(tmp_path):
        found, code = refusal(bare.bring(path.read_bytes(), path.name))
        assert (what, found) == (what, status), code
    assert not Path("/outside-of-all").exists()
    assert list(bare.folder.glob("**/outside")) == []


@pytest.mark.parametrize(
    "data",
    [
        (1 << 62).to_bytes(8, "little") + b"{}" + bytes(20),
        b"\x50\x00\x00\x00\x00\x00\x00\x00"
        + json.dumps({"a": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}}).ljust(80).encode()
        + bytes(4),
    ],
)
def test_safetensors(bare: Bare, data: bytes) -> None:
    assert refusal(bare.bring(data, "m.safetensors"))[0] == 422


@pytest.mark.parametrize(
    "data",
    [
        brought_models.gguf(tensors=1 << 63),
        brought_models.gguf(offset=1 << 40),
        brought_models.gguf(keys=1 << 63),
    ],
)
def test_gguf(bare: Bare, data: bytes) -> None:
    assert refusal(bare.bring(data, "m.gguf"))[0] == 422


def test_onnx_with_tensors_elsewhere(bare: Bare, tmp_path: Path) -> None:
    path = brought_models.write_external_onnx(tmp_path / "m", "/etc/passwd")
    assert refusal(bare.bring(path.read_bytes(), "m.onnx")) == (422, "format_not_allowed")


@pytest.mark.parametrize("name", ["lambda.keras", "own.keras", "old.h5"])
def test_keras_with_code(bare: Bare, files: Path, name: str) -> None:
    assert refusal(bare.bring((files / name).read_bytes(), name)) == (422, "format_not_allowed")


def test_another_digest_than_was_said(bare: Bare) -> None:
    assert refusal(bare.upload(b"data", "a.csv", sha256="ab" * 32)) == (422, "corrupt")
    opened = bare.http.post(
        "/uploads/sessions", json={"filename": "a.csv", "size": 4, "sha256": "ab" * 32}
    ).json()
    where = f"/uploads/sessions/{opened['id']}"
    bare.http.put(where, params={"offset": 0}, content=b"data")
    assert refusal(bare.http.post(f"{where}/finish")) == (422, "corrupt")
    assert bare.http.get(where).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "../x", "uploads": []}, 400),
        ({"name": "x"}, 400),
        ({"name": "x", "uploads": ["upload_" + "0" * 26]}, 404),
        ({"name": "x", "hub": "../../etc"}, 400),
        ({"name": "x", "hub": "a/b/../../../etc"}, 422),
        ({"name": "x", "hub": "a/b", "uploads": ["upload_" + "0" * 26]}, 404),
        ({"name": "x", "hub": "a/b", "options": {"tsk": "y"}}, 400),
        ({"name": "x", "hub": "a/b", "format": "pickle"}, 400),
        ({"name": "x", "hub": "a/b", "tenant": "other"}, 400),
    ],
)
def test_requests_that_make_no_sense(bare: Bare, body: dict[str, Any], status: int) -> None:
    assert refusal(bare.http.post("/models/imports", json=body))[0] == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"filename": "a.csv", "size": -1}, 400),
        ({"filename": "a.csv", "size": 1 << 70}, 400),
        ({"filename": "a.csv", "size": True}, 400),
        ({"filename": "a.csv", "size": 10, "owner": "x"}, 400),
        ({"filename": "..", "size": 10}, 400),
        ({"filename": "a.csv", "size": 1 << 59}, 413),
    ],
)
def test_sessions_that_make_no_sense(bare: Bare, body: dict[str, Any], status: int) -> None:
    assert refusal(bare.http.post("/uploads/sessions", json=body))[0] == status


def test_parts_that_make_no_sense(bare: Bare) -> None:
    opened = bare.http.post("/uploads/sessions", json={"filename": "a.csv", "size": 10}).json()
    where = f"/uploads/sessions/{opened['id']}"
    assert refusal(bare.http.put(where, params={"offset": 5}, content=b"x"))[0] == 409
    assert refusal(bare.http.put(where, params={"offset": -1}, content=b"x"))[0] == 400
    assert refusal(bare.http.put(where, params={"offset": 0}, content=b"x" * 11))[0] == 413
    assert (
        refusal(
            bare.http.put(where, params={"offset": 0}, content=b"x", headers={"content-encoding": "gzip"})
        )[0]
        == 415
    )
    assert refusal(bare.http.post(f"{where}/finish"))[0] == 409
    other = "/uploads/sessions/part_" + "0" * 26
    assert refusal(bare.http.put(other, params={"offset": 0}, content=b"x"))[0] == 404
    assert bare.http.delete(where).status_code == 204
