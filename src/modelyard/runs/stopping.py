"""SIGTERM and SIGINT as a wish to stop."""

import signal
import socket
import threading
from collections.abc import Callable

_NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT"}


def stop_on_signals(stop: Callable[[str], None]) -> None:
    """Call `stop(reason)` from a thread on SIGTERM or SIGINT.

    Python runs signal handlers between bytecodes of the main thread, so a fit in a library would hold them
    up. The wake-up descriptor is written to by the C handler at once, whatever the main thread does.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    for number in _NAMES:
        signal.signal(number, _nothing)
    threading.Thread(target=_listen, args=(receiver, sender, stop), name="signals", daemon=True).start()


def _nothing(number: int, frame: object) -> None:
    """The byte at the wake-up descriptor is what counts; without a handler the process would end."""


def _listen(receiver: socket.socket, sender: socket.socket, stop: Callable[[str], None]) -> None:
    # `sender` is an argument so that it stays open as long as this thread.
    while True:
        for number in receiver.recv(64):
            if number in _NAMES:
                stop(f"the run was stopped by {_NAMES[signal.Signals(number)]}")
