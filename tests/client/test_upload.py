"""Uploads in parts, against a real control, over a network that breaks."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelyard
from control_seed import LiveControl, write_config
from flaky_proxy import FlakyProxy
from modelyard.client import upload as uploading
from modelyard.client.upload import upload
from modelyard.errors import Busy, InvalidInput, ModelyardError
from modelyard.home import Home

pytestmark = pytest.mark.slow  # a real control


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveControl]:
    home = Home(tmp_path_factory.mktemp("uploads") / "home")
    write_config(home, storage_bytes=64 << 20)
    with LiveControl(home) as control:
        yield control


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files go in small parts."""
    monkeypatch.setattr(uploading, "IN_PARTS", 1 << 20)
    monkeypatch.setattr(uploading, "_REQUEST", 3 << 20)


def client_at(control: LiveControl, port: int) -> modelyard.Client:
    client = modelyard.Client(home=control.home)
    settings = dataclasses.replace(client.settings, url=f"http://127.0.0.1:{port}")
    client.close()
    return modelyard.Client(settings.url, settings.api_key)


def written(path: Path, size: int) -> str:
    """Bytes that do not repeat; their digest."""
    data = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(size // 32))
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("in_parts")
def test_it_goes_on_over_broken_connections(control: LiveControl, tmp_path: Path) -> None:
    digest = written(tmp_path / "large.csv", 8 << 20)
    seen: list[float] = []
    with FlakyProxy(control.config.control_port, after=1 << 20, cuts=3) as proxy:
        client = client_at(control, proxy.port)
        made = upload(
            client.transport, tmp_path / "large.csv", lambda done, total, text: seen.append(done / total)
        )
        assert proxy.cut == 3
        client.close()
    assert seen[-1] == 1
    stored = control.home.blobs / digest[:2] / digest[2:]
    assert stored.read_bytes() == (tmp_path / "large.csv").read_bytes()
    assert made.startswith("upload_")
    assert list(control.home.partials.iterdir()) == []


@pytest.mark.usefixtures("in_parts")
def test_what_is_refused_is_given_up(control: LiveControl, tmp_path: Path) -> None:
    (tmp_path / "pickle.onnx").write_bytes(b"\x80\x04cos\nsystem\n(S'x'\ntR." + bytes(2 << 20))
    with modelyard.Client(home=control.home) as client:
        with pytest.raises(ModelyardError) as refused:
            upload(client.transport, tmp_path / "pickle.onnx", lambda *_: None)
        assert refused.value.code == "format_not_allowed"
        written(tmp_path / "too-large.csv", 100 << 20)
        with pytest.raises(Busy):
            upload(client.transport, tmp_path / "too-large.csv", lambda *_: None)
        with pytest.raises(InvalidInput):
            upload(client.transport, tmp_path / "none", lambda *_: None)
    assert list(control.home.partials.iterdir()) == []


@pytest.mark.usefixtures("in_parts")
def test_an_upload_that_is_stopped_leaves_nothing(control: LiveControl, tmp_path: Path) -> None:
    written(tmp_path / "stopped.csv", 8 << 20)

    def stop(done: float, total: float, text: str) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with modelyard.Client(home=control.home) as client, pytest.raises(KeyboardInterrupt):
        upload(client.transport, tmp_path / "stopped.csv", stop)
    assert list(control.home.partials.iterdir()) == []
