"""The way of an answer's pieces from a compute thread to the event loop that asked for them."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress

from modelyard.types.generation import Delta

Item = Delta | BaseException


class Stream:
    """One answer. Made on the event loop; `put` and `ended` are for any thread."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._ended = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether nobody waits for more: the work can end."""
        return self._ended.is_set()

    def put(self, item: Item) -> None:
        """A piece, or the error that ends the answer."""
        deliver([(self, item)])

    async def pieces(self) -> AsyncGenerator[Delta, None]:
        """Until the one that has `finish`. Raises the error that was put."""
        try:
            while True:
                item = await self._queue.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                if item.finish is not None:
                    return
        finally:
            self._ended.set()

    def _take(self, item: Item) -> None:
        self._queue.put_nowait(item)


def deliver(items: Iterable[tuple[Stream, Item]]) -> None:
    """Many streams' pieces with one call to each of their loops (there is one): a call wakes it, which costs more
    than the pieces."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Stream, Item]]] = defaultdict(list)
    for stream, item in items:
        by_loop[stream.loop].append((stream, item))
    for loop, some in by_loop.items():
        with suppress(RuntimeError):  # a loop that was closed: nobody waits
            loop.call_soon_threadsafe(_take_all, some)


def _take_all(items: list[tuple[Stream, Item]]) -> None:
    for stream, item in items:
        stream._take(item)
