"""Telling control what was used: while it is there, away, slow or talking nonsense; and over a restart."""

import asyncio
import errno
from contextlib import asynccontextmanager

import msgspec
import pytest

from modelyard.gateway import reporting
from modelyard.gateway.reporting import Reporter, load
from modelyard.gateway.usage import Ledger
from modelyard.types.generation import Usage
from modelyard.types.route import KeyGrant
from modelyard.types.usage import FOREVER, UsageHeard, UsageReport
from stand_in import until

WHO = KeyGrant(id="key", tenant="t", scopes=("predict",), budget=100)
HEARD = msgspec.json.encode(UsageHeard(day=1, used={}))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(reporting, "_EVERY", 0.002)
    monkeypatch.setattr(reporting, "_LONGEST_PAUSE", 0.004)


def answer(body=HEARD, status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def control(*scripts, end=True):
    """Report after report is answered by its script; the last answers all that come after. Gives the reports."""
    rest, came, open_now = list(scripts), [], set()

    async def serve(reader, writer):
        open_now.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"POST /internal/usage HTTP/1.1\r\n")
            assert b"\r\nAuthorization: Bearer token\r\n" in head
            size = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            came.append(msgspec.json.decode(await reader.readexactly(size), type=UsageReport))
            writer.write(rest.pop(0) if len(rest) > 1 else rest[0])
            if end:
                writer.write_eof()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            open_now.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    finally:
        server.close()
        await until(lambda: not open_now)


def spend(ledger, tokens):
    ledger.reserve(WHO, tokens).settle("m", Usage(prompt=tokens))


async def run_until(reporter, condition):
    task = asyncio.create_task(reporter.run())
    try:
        await until(lambda: task.done() or condition())
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])
        await reporter.finish()


def test_each_change_is_told_once(tmp_path):
    async def scenario():
        ledger = Ledger()
        async with control(answer()) as (url, said):
            reporter = Reporter(url, "token", ledger, tmp_path / "kept")
            spend(ledger, 5)
            await run_until(reporter, lambda: len(said) >= 2 and ledger.report() is None)
            assert [[row.prompt for row in report.rows] for report in said] == [[5], []]
            assert said[1].settled > 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"this is no HTTP\r\n\r\n",
        answer(b"{}", "503 Service Unavailable"),
        answer(b"{}", "401 Unauthorized"),
        answer(b"{}"),
        answer(b'{"day": -1, "used": {}}'),
        answer(b"\xff"),
        answer()[:-5],
    ],
)
def test_whatever_control_answers_it_is_told_again(tmp_path, bad):

    async def scenario():
        ledger = Ledger()
        async with control(bad, bad, answer()) as (url, said):
            spend(ledger, 5)
            reporter = Reporter(url, "token", ledger, tmp_path / "kept")
            await run_until(reporter, lambda: ledger.report() is None)
            assert len(said) >= 3
            assert [row.prompt for report in said[:3] for row in report.rows] == [5, 5, 5]

    asyncio.run(scenario())


def test_with_control_away_the_next_process_knows_all(tmp_path):
    async def scenario():
        ledger = Ledger()
        spend(ledger, 60)
        reporter = Reporter("http://127.0.0.1:1", "token", ledger, tmp_path / "kept")
        await run_until(reporter, lambda: load(tmp_path / "kept"))
        spend(ledger, 7)
        await reporter_after(ledger)

        ledger = Ledger()
        ledger.resume(load(tmp_path / "kept"))
        assert ledger.used(WHO) == 67
        async with control(answer()) as (url, said):
            reporter = Reporter(url, "token", ledger, tmp_path / "kept")
            await run_until(reporter, lambda: len(said) >= 2)
        assert [row.prompt for row in said[0].rows] == [67]
        assert (said[1].source, said[1].rows, said[1].settled) == (said[0].source, (), FOREVER)
        assert [len(source.rows) for source in load(tmp_path / "kept").sources] == [0]

    async def reporter_after(ledger):
        await Reporter("http://127.0.0.1:1", "token", ledger, tmp_path / "kept").finish()

    asyncio.run(scenario())
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_the_last_report_waits_for_no_silent_control(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "_LAST_SECONDS", 0.02)

    async def scenario():
        ledger = Ledger()
        spend(ledger, 5)
        async with control(b"HTTP/1.1 200 OK\r\n", end=False) as (url, _):
            async with asyncio.timeout(20):
                await Reporter(url, "token", ledger, tmp_path / "kept").finish()
        assert load(tmp_path / "kept").sources[0].rows[0].prompt == 5

    asyncio.run(scenario())


def test_nothing_is_promised_that_is_not_on_disk(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(reporting, "write_atomic", full)

    async def scenario():
        ledger = Ledger()
        async with control(answer()) as (url, said):
            spend(ledger, 5)
            reporter = Reporter(url, "token", ledger, tmp_path / "kept")
            await run_until(reporter, lambda: ledger.report() is None)
            spend(ledger, 5)
            assert await reporter_step(url, ledger)
            assert [row.prompt for report in said for row in report.rows] == [5, 10]
            assert {report.settled for report in said} == {0}

    async def reporter_step(url, ledger):
        reporter = Reporter(url, "token", ledger, tmp_path / "kept")
        there = await reporter.step(1.0)
        await reporter.finish()
        return there

    asyncio.run(scenario())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"sources": 1, "day": 0, "used": {}}'])
def test_a_file_that_cannot_be_read_is_as_none(tmp_path, data):
    (tmp_path / "kept").write_bytes(data)
    assert load(tmp_path / "kept") is None
    assert load(tmp_path / "not-there") is None
    assert load(tmp_path) is None
