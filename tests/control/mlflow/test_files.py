import http.client
import json
import os
import threading
from pathlib import Path

import psutil
import pytest

from modelyard.control.mlflow.files import read_place
from modelyard.errors import ModelyardError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the stock client's own


def test_files_go_up_and_come_down(server, tmp_path):
    run_id = server.run().info.run_id
    up = tmp_path / "up"
    (up / "sub").mkdir(parents=True)
    (up / "a b.txt").write_text("hello")
    (up / "sub" / "é ü.bin").write_bytes(b"\0\1")
    (up / "empty").write_bytes(b"")
    server.client.log_artifacts(run_id, str(up), "dir")
    server.client.log_dict(run_id, {"a": 1}, "d.json")
    assert [(f.path, f.is_dir, f.file_size) for f in server.client.list_artifacts(run_id)] == [
        ("d.json", False, 12), ("dir", True, None),
    ]  # fmt: skip
    assert [f.path for f in server.client.list_artifacts(run_id, "dir")] == [
        "dir/a b.txt",
        "dir/empty",
        "dir/sub",
    ]
    assert server.client.list_artifacts(run_id, "nothing") == []
    down = server.client.download_artifacts(run_id, "dir", str(tmp_path))
    assert {os.path.relpath(os.path.join(r, f), down) for r, _, fs in os.walk(down) for f in fs} == {
        "a b.txt", "empty", "sub/é ü.bin",
    }  # fmt: skip
    assert Path(down, "sub", "é ü.bin").read_bytes() == b"\0\1"


def test_a_file_is_replaced_and_deleted(server):
    run = server.run()
    path = f"/api/2.0/mlflow-artifacts/artifacts/{run.info.experiment_id}/{run.info.run_id}/artifacts/x.txt"
    for text in (b"one", b"two"):
        assert server.ask("PUT", path, content=text).status_code == 200
    found = server.ask("GET", path)
    assert (found.content, found.headers["cache-control"]) == (b"two", "no-store")
    assert "attachment" in found.headers["content-disposition"]
    assert server.ask("GET", path, headers={"Range": "bytes=1-"}).content == b"wo"
    assert server.ask("DELETE", path).status_code == 200
    server.refused("GET", path, 404, "RESOURCE_DOES_NOT_EXIST")
    server.refused("DELETE", path, 404, "RESOURCE_DOES_NOT_EXIST")


def test_a_large_file_streams(server, tmp_path):
    """Of 200 MB control holds no more than some megabytes at a time."""
    big = tmp_path / "big.bin"
    part = os.urandom(1 << 20)
    with big.open("wb") as f:
        for _ in range(200):
            f.write(part)
    run_id = server.run().info.run_id
    process = psutil.Process(server.control.child.pid)
    before, peak, done = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    server.client.log_artifact(run_id, str(big))
    (tmp_path / "down").mkdir()
    down = server.client.download_artifacts(run_id, "big.bin", str(tmp_path / "down"))
    done.set()
    thread.join()
    assert Path(down).read_bytes() == big.read_bytes()
    assert peak[0] - before < 64 << 20


def test_the_same_bytes_are_kept_once_and_counted_once(server):
    run = server.run()
    base = f"/api/2.0/mlflow-artifacts/artifacts/{run.info.experiment_id}/{run.info.run_id}/artifacts"
    for name in ("a", "b"):
        server.ask("PUT", f"{base}/{name}", content=b"the same")
    server.ask("DELETE", f"{base}/a")
    assert server.ask("GET", f"{base}/b").content == b"the same"


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "a/../../b",
        "..",
        "a//b",
        "a/%2e/b",
        "a%00b",
        "a\\b",
        "%0a",
        "a" * 256,
        "%2e%2e/x",
        "x/" * 600 + "y",
    ],
)
def test_paths_that_leave_the_folder(server, path):
    run = server.run()
    base = f"/api/2.0/mlflow-artifacts/artifacts/{run.info.experiment_id}/{run.info.run_id}/artifacts"
    response = server.ask("PUT", f"{base}/{path}", content=b"x")
    assert response.status_code in (400, 404), response.text  # the client itself takes some dots away
    assert server.client.list_artifacts(run.info.run_id) == []


def test_a_file_is_no_folder(server):
    run = server.run()
    base = f"/api/2.0/mlflow-artifacts/artifacts/{run.info.experiment_id}/{run.info.run_id}/artifacts"
    server.ask("PUT", f"{base}/a/b", content=b"x")
    server.refused("PUT", f"{base}/a", 400, "INVALID_PARAMETER_VALUE", content=b"x")
    server.refused("PUT", f"{base}/a/b/c", 400, "INVALID_PARAMETER_VALUE", content=b"x")


@pytest.mark.parametrize("path", ["x", "0/run_0/artifacts/x", "0/models/m-0/artifacts/x", "0/0/artifacts/x"])
def test_places_that_are_nobodys(server, path):
    response = server.ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", content=b"x")
    assert response.status_code in (404, 405)
    assert response.json()["error_code"] in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND")


def test_an_encoded_body_is_refused(server):
    run = server.run()
    path = f"/api/2.0/mlflow-artifacts/artifacts/{run.info.experiment_id}/{run.info.run_id}/artifacts/x"
    headers = {"Content-Encoding": "gzip"}
    server.refused("PUT", path, 415, "INVALID_PARAMETER_VALUE", content=b"x", headers=headers)


def test_more_than_the_limit_is_refused_before_it_is_read(server):
    run = server.run()
    path = f"/api/2.0/mlflow-artifacts/artifacts/{run.info.experiment_id}/{run.info.run_id}/artifacts/x"
    connection = http.client.HTTPConnection("127.0.0.1", server.control.config.control_port, timeout=20)
    connection.putrequest("PUT", path)
    for name, value in (("Authorization", f"Bearer {server.key}"), ("Content-Length", str(10**13))):
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["error_code"]) == (413, "INVALID_PARAMETER_VALUE")
    connection.close()


def test_places():
    place = read_place("12/run_0abc/artifacts/a/b")
    assert (place.run, place.model, place.path) == ("run_0abc", None, "a/b")
    assert read_place("1/models/m-12/artifacts").path == ""
    with pytest.raises(ModelyardError):
        read_place("1/run_a/artifacts/../x")
