import socket
from types import SimpleNamespace

from modelyard.serving import frames
from modelyard.serving.batcher import Batcher
from modelyard.serving.frames import Kind
from modelyard.serving.server import Server
from modelyard.types.replica import Hello
from modelyard.types.tensor import Signature

SERVED = SimpleNamespace(plan=SimpleNamespace(names=(), outputs=()))
HELLO = Hello(
    name="m",
    version="1",
    digest="d",
    task="t",
    platform="onnx",
    signature=Signature(inputs=(), outputs=()),
)


def test_a_peer_that_goes_while_it_is_answered_takes_nothing_down(tmp_path):
    server = Server(tmp_path / "s", HELLO, Batcher(None, SERVED, 8), 8)
    server._listen()
    with server._listener, socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(tmp_path / "s"))
        server._accept()
        peer = server._peers[0]
    asked = frames.pack(Kind.STATISTICS, 1)
    server._receive(peer, asked + asked + frames.pack(Kind.HELLO, 2))  # answers find nobody; a hello is wrong
    assert peer.closed
    assert server._peers == []
    server._selector.close()
