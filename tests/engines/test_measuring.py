import asyncio
import json
import subprocess
import sys

import msgspec
import pytest

from modelyard.engines import measuring
from modelyard.engines.measuring import Figures, choose, measure
from modelyard.errors import InvalidInput, Unavailable
from modelyard.types.generation import Abilities, Delta


class Paced:
    """A generator of a known pace: `seconds` for a prompt, then a token a `token` seconds for each stream."""

    def __init__(self, *, seconds: float, token: float, slots: int = 4, fails: bool = False) -> None:
        self.abilities = Abilities(name="paced", takes="text", slots=slots, context=2048, top_logprobs=None)
        self.seconds, self.token, self.fails = seconds, token, fails
        self.running = self.most = 0

    async def generate(self, request):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
            yield Delta(prompt=self.count(request.prompt), cached=2)
            for n in range(request.sampling.max_tokens or 10_000):
                if self.fails and n > 3:
                    raise Unavailable("it broke")
                await asyncio.sleep(self.token)
                yield Delta(text="x", tokens=1)
            yield Delta(finish="length")
        finally:
            self.running -= 1

    def count(self, text):
        return len(text.split()) + 1

    async def aclose(self):
        """Nothing is held."""


def figures(engine, prompt, **streams):
    rates = {int(name[1:]): rate for name, rate in streams.items()}
    return Figures(engine=engine, prompt=prompt, read=512, first=512 / prompt, streams=rates, replies=())


def test_what_is_measured():
    paced = Paced(seconds=0.0, token=0.001)
    found = asyncio.run(measure(paced, 0.1, ("a b", "c")))
    assert found.engine == "paced"
    assert sorted(found.streams) == [1, 4]  # it has no 16 slots
    assert found.streams[4] > found.streams[1] > 0
    assert 400 < found.read <= 512
    assert found.prompt == pytest.approx(found.read / found.first)
    assert [reply.prompt for reply in found.replies] == ["a b", "c"]
    assert (paced.running, paced.most) == (0, 4)


def test_an_engine_that_fails_is_heard():
    with pytest.raises(Unavailable):
        asyncio.run(measure(Paced(seconds=0.0, token=0.0, fails=True), 0.1))


def test_the_fastest_in_all_is_chosen_and_why_is_said():
    slow, fast = (
        figures("slow", 400.0, s1=60, s4=100, s16=160),
        figures("fast", 3000.0, s1=90, s4=340, s16=700),
    )
    best, why = choose([slow, fast])
    assert best is fast
    assert why == "fast was the fastest on this machine: 3.6 times slow"
    few = figures("few", 4000.0, s1=200)
    assert choose([fast, few])[0] is few  # by what both were measured at
    assert choose([slow]) == (slow, "slow is the one engine that could be measured")
    assert (
        fast.said()
        == "fast: 700 at 16, 340 at 4, 90 at 1 streams (tokens/s), 0.17 s to the first token of 512"
    )
    with pytest.raises(InvalidInput):
        choose([])


@pytest.mark.slow  # a process
def test_a_process_says_what_it_found(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))
    spec = measuring.Spec(format="gguf", entry=str(tmp_path / "x.gguf"), result=str(tmp_path / "result.json"))
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(spec))
    argv = [sys.executable, "-m", "modelyard.engines.measuring", str(tmp_path / "spec.json")]
    assert subprocess.run(argv, check=False).returncode == 1
    assert json.loads((tmp_path / "result.json").read_text())["error"]["code"] in ("invalid_input", "corrupt")
