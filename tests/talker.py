"""A replica whose engine says a prompt's words back, one at a time and at a pace that is known.

What the gateway and the replica's server do with streams can then be told exactly:
`python -m talker SOCKET --slots 4 --pace 0.01`."""

import argparse
import asyncio
import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path

from live_serving import Process, probe
from modelyard import tasks
from modelyard.dialects import Served
from modelyard.errors import InvalidInput, Unavailable
from modelyard.serving.generating import ModelChat
from modelyard.serving.streams import StreamServer
from modelyard.serving.templates import TemplateProcess
from modelyard.types.chat import DEFAULT_TEMPLATE
from modelyard.types.generation import Abilities, AudioRequest, Delta, TextRequest, TokenLogprob
from modelyard.types.replica import Hello
from modelyard.types.route import RouteVersion
from waiting import wait_until

CONTEXT = 512


class Talker:
    """`engines.generation.Generator`. A prompt that begins with "die" ends the process, with "fail" the engine."""

    def __init__(self, slots: int, pace: float) -> None:
        self.abilities = Abilities(
            name="talker",
            takes="text",
            slots=slots,
            context=CONTEXT,
            top_logprobs=5,
            constraints=("json_object", "json_schema"),
        )
        self._pace = pace
        self.running = self.most = 0

    async def generate(self, request: TextRequest | AudioRequest):
        assert isinstance(request, TextRequest)
        words = str(request.prompt).split()
        if len(words) > CONTEXT:
            raise InvalidInput("the prompt is longer than the model's context", came=f"{len(words)} tokens")
        self.running += 1
        assert self.running <= self.abilities.slots
        try:
            yield Delta(prompt=len(words))
            async for delta in self._said(words, request):
                yield delta
        finally:
            self.running -= 1

    async def _said(self, words: list[str], request: TextRequest):
        most = request.sampling.max_tokens or CONTEXT
        seed = "" if request.sampling.seed is None else str(request.sampling.seed)
        for number in range(min(most, CONTEXT - len(words))):
            await asyncio.sleep(self._pace)
            word = words[number % len(words)] if words else "nothing"
            if word == "die":
                os._exit(1)
            if word == "fail":
                raise Unavailable("the engine broke off")
            if word == "stop":
                yield Delta(finish="stop")
                return
            place = TokenLogprob(token=f" {word}", logprob=-0.5, raw=f" {word}".encode())
            told = (place,) if request.sampling.logprobs is not None else ()
            yield Delta(text=f" {word}{seed}", tokens=1, logprobs=told)
        yield Delta(finish="length")

    def count(self, text: str) -> int:
        return len(text.split())

    async def aclose(self) -> None:
        """Nothing is held."""


class TalkingReplica(Process):
    """One in a process of its own."""

    def __init__(self, at: Path, *, name: str = "talk", slots: int = 4, pace: float = 0.005) -> None:
        self.socket = at
        self.digest = digest(name)
        argv = ["talker", str(at), "--name", name, "--slots", str(slots), "--pace", str(pace)]
        super().__init__(argv, at.with_suffix(".log"), {"PYTHONPATH": os.pathsep.join(sys.path)})

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    def ready(self) -> "TalkingReplica":
        wait_until(self.probe, 30, f"the replica ({self.log})")
        return self

    def probe(self):
        with suppress(Unavailable):
            return probe(self.address)

    def serves(self, version: str = "1", weight: float = 1.0, *others: "TalkingReplica") -> RouteVersion:
        replicas = tuple(r.address for r in (self, *others))
        return RouteVersion(version=version, digest=self.digest, weight=weight, replicas=replicas)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=Path)
    parser.add_argument("--name", default="talk")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--pace", type=float, default=0.005)
    given = parser.parse_args()
    engine = Talker(given.slots, given.pace)
    task = tasks.load("text-generation")
    served = Served(
        name=given.name,
        version="1",
        signature=task.signature({}, ()),
        labels=(),
        task=task,
        prepared=task.prepare({}),
        chat=ModelChat(TemplateProcess(DEFAULT_TEMPLATE), ()),
        abilities=engine.abilities,
    )
    hello = Hello(
        name=given.name,
        version="1",
        digest=digest(given.name),
        task="text-generation",
        platform="gguf",
        signature=served.signature,
        slots=given.slots,
        context=CONTEXT,
        prefill=10_000.0,
    )
    StreamServer(given.socket, hello, engine, served).run()


if __name__ == "__main__":
    main()
