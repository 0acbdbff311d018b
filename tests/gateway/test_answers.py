"""Answers that are kept, and those that several read."""

import asyncio

import pytest

from modelyard.gateway.answers import Answers, Shared, digest_of


def test_kept_until_their_time_or_until_there_is_no_room():
    answers = Answers(most_bytes=100)
    answers.keep(b"a", [], b"x" * 60, 60)
    assert answers.find(b"a").body == b"x" * 60
    answers.keep(b"b", [], b"y" * 60, 60)
    assert answers.find(b"a") is None
    answers.keep(b"b", [], b"z" * 10, 60)
    assert answers.find(b"b").body == b"z" * 10
    answers.keep(b"late", [], b"-", -1)
    assert answers.find(b"late") is None
    answers.keep(b"large", [], b"-" * 101, 60)
    assert answers.find(b"large") is None
    assert answers.hits == 2


def test_parts_cannot_run_into_each_other():
    assert digest_of([b"ab", b"c"]) != digest_of([b"a", b"bc"])


def test_every_reader_gets_all_of_it():
    async def main():
        shared = Shared()

        async def read():
            head = await shared.head()
            return head, b"".join([piece async for piece in shared.pieces()])

        early = asyncio.create_task(read())
        await asyncio.sleep(0)
        shared.begin(200, [(b"a", b"b")])
        shared.add(b"one ")
        middle = asyncio.create_task(read())
        await asyncio.sleep(0)
        shared.add(b"two")
        shared.end()
        late = await read()
        assert await early == await middle == late == ((200, [(b"a", b"b")]), b"one two")

    asyncio.run(main())


def test_a_failure_reaches_all_readers_and_the_last_one_to_leave_ends_the_work():
    async def main():
        shared = Shared()
        shared.end(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await shared.head()
        other = Shared()
        other.work = asyncio.create_task(asyncio.sleep(60))
        other.readers = 2
        other.leave()
        await asyncio.sleep(0)
        assert not other.work.cancelling()
        other.leave()
        with pytest.raises(asyncio.CancelledError):
            await other.work

    asyncio.run(main())
