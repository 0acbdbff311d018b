"""A TCP proxy that cuts connections: after so many bytes towards the server, as a bad network does."""

import socket
import threading
from contextlib import suppress


class FlakyProxy:
    """Passes bytes on to 127.0.0.1:`port`. The first `cuts` connections that carry more than `after` bytes towards
    the server are cut there. Leaving the block ends it."""

    def __init__(self, port: int, after: int, cuts: int) -> None:
        self._port, self._after, self.cuts = port, after, cuts
        self.cut = 0
        self._open: list[socket.socket] = []

    def __enter__(self) -> "FlakyProxy":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open += [client, server]
            for source, target, there in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._pass, args=(source, target, there), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, target: socket.socket, there: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
                passed += len(data)
                if there and passed > self._after and self.cut < self.cuts:
                    self.cut += 1
                    break
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
