import socket
import threading

import pytest

from live_serving import Replica
from modelyard.errors import Unavailable
from modelyard.serving.probe import probe


def test_reads_hello_and_statistics(packages_folder, tmp_path):
    replica = Replica(packages_folder / "table", "table", tmp_path / "s", version="9").ready()
    try:
        found = probe(replica.address)
        assert (found.hello.name, found.hello.version, found.hello.digest) == ("table", "9", replica.digest)
        assert found.hello.task == "tabular-classification"
        assert found.statistics.requests == 0
        assert found.statistics.started_ns > 0
    finally:
        replica.stop()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\x05\0\0\0\x01\0\0\0\0", b"\x06\0\0\0\x01\0\0\0\0{"]
)
def test_what_is_no_replica_is_unavailable(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Unavailable):
            probe(f"tcp:127.0.0.1:{server.getsockname()[1]}", timeout=1)
        thread.join()


def test_nothing_there_is_unavailable(tmp_path):
    with pytest.raises(Unavailable):
        probe(f"unix:{tmp_path / 'nothing'}")


def test_one_that_is_silent_is_unavailable(tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(Unavailable):
            probe(f"unix:{tmp_path / 's'}", timeout=0.2)
