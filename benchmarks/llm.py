"""Large models: this platform beside llama.cpp's own server, in one run on one machine. Writes results/llm.json.

    python benchmarks/llm.py [--quick] [--only PART,...] [--openvino BUNDLE] [--seed N]

A platform of its own serves Gemma 3 270M with llama_cpp and, where it can be converted, with openvino in INT8,
through its gateway, with keys and metrics on; llama.cpp's server has the same slots, context, threads and batches.
Exits with 1 where a goal is missed. --quick takes a few minutes and says whether all works; only
a whole run is written, others are printed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import llm_direct
import llm_embeddings
import llm_load
import llm_measures
import llm_servers
import llm_tap
import machine
import peer_environments
import psutil
import uvloop
from llm_load import Questions, Shape, Target
from llm_servers import EMBEDDINGS, LLAMA, OPENVINO, Platform

BARE = "llama.cpp's server"
STREAMS = (1, 4, 16)


USUAL = Shape(prompt=64, answer=128)
LONG, SHORT, CROWDED = Shape(prompt=512, answer=4), Shape(prompt=16, answer=32), Shape(prompt=32, answer=32)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much of it. `waves` are answers of each stream in a round, by streams; `pairs`
    and `watched` are of the gateway's own cost, `seconds` of fairness."""

    rounds: int = 4
    waves: tuple[int, ...] = (2, 1, 1)
    shape: Shape = USUAL
    long: Shape = LONG
    firsts: int = 9
    short: Shape = SHORT
    pairs: tuple[int, int] = (20, 6)
    watched: int = 2
    crowded: Shape = CROWDED
    streams: tuple[int, int] = (14, 140)
    seconds: float = 10.0
    crowds: int = 3
    texts: int = 512
    hangups: int = 3


QUICK = Settings(
    rounds=1,
    waves=(1, 1, 1),
    shape=Shape(prompt=64, answer=24),
    firsts=1,
    pairs=(3, 2),
    watched=1,
    crowded=Shape(prompt=32, answer=16),
    seconds=4.0,
    crowds=1,
    texts=128,
    hangups=1,
)


@dataclass(kw_only=True)
class Bench:
    """What the parts share. `engines` are the platform's deployments that stream; `targets` all that is asked."""

    there: Platform
    engines: list[str]
    targets: dict[str, Target]
    questions: Questions
    settings: Settings
    seed: int


def main() -> int:
    given = _arguments()
    settings = QUICK if given.quick else Settings()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llm-") as folder, llm_servers.platform() as there:
        model = llm_servers.gemma(Path(folder))
        llm_servers.deploy_llama(there, model)
        llm_servers.deploy_openvino(there, model, given.openvino)
        hello = there.hello(LLAMA)
        with llm_servers.bare(model, hello) as bare:
            bench = _bench(there, bare, settings, given.seed)
            result = {"settings": asdict(settings), "slots": hello.slots, "context": hello.context}
            for name in given.only:
                print(f"{name} ({time.monotonic() - began:.0f} s)", flush=True)
                result[name] = PARTS[name](bench)
    result |= {"missing": there.missing, "seconds": time.monotonic() - began}
    result["goals"] = goals(result)
    _print(result)
    if not given.quick and given.only == list(PARTS):
        print("written:", machine.write("llm", result, seed=given.seed).name)
    else:
        print(json.dumps(result))
    return 0 if given.quick or all(goal["reached"] for goal in result["goals"]) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Large models beside llama.cpp's own server.")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), metavar="PART,...",
                        help=", ".join(PARTS))  # fmt: skip
    parser.add_argument("--openvino", type=Path, default=peer_environments.WORK / "gemma-int8.yard.zip",
                        help="a bundle of the converted model, made where it is not there")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _bench(there: Platform, bare: Target, settings: Settings, seed: int) -> Bench:
    """Everything has answered once."""
    key = there.key("benchmark")
    engines = [name for name in (LLAMA, OPENVINO) if name not in there.missing]
    targets = {BARE: bare} | {name: there.target(name, key) for name in engines}
    questions = Questions(seed)
    for target in targets.values():
        asked = llm_load.asker(target, questions, Shape(prompt=16, answer=4))
        uvloop.run(llm_load.closed_loop(asked, 2, 4))
    return Bench(
        there=there, engines=engines, targets=targets, questions=questions, settings=settings, seed=seed
    )


def speed(bench: Bench) -> dict[str, Any]:
    """By streams and server."""
    given, found = bench.settings, {}
    for streams, waves in zip(STREAMS, given.waves, strict=True):
        found[str(streams)] = uvloop.run(
            llm_measures.speed(
                bench.targets, bench.questions, given.shape, streams=streams, waves=waves, rounds=given.rounds
            )
        )
    return found


def first_token(bench: Bench) -> dict[str, Any]:
    """By server."""
    given = bench.settings
    measured = llm_measures.first_token(bench.targets, bench.questions, given.long, rounds=given.firsts)
    return uvloop.run(measured)


def gateway(bench: Bench) -> dict[str, Any]:
    """By engine and streams: the replica asked at its socket, then through the gateway."""

    async def measured(name: str, streams: int, rounds: int) -> dict[str, Any]:
        direct = await llm_direct.connect(bench.there.home, name)
        short, questions = bench.settings.short, bench.questions
        asks = {
            "replica": llm_direct.asker(direct, questions, name, short),
            "gateway": llm_load.asker(bench.targets[name], questions, short),
        }
        try:
            return await llm_measures.added(asks, streams=streams, rounds=rounds)
        finally:
            direct.close()

    levels = dict(zip((1, 4), bench.settings.pairs, strict=True))
    return {
        name: {
            str(streams): uvloop.run(measured(name, streams, rounds)) for streams, rounds in levels.items()
        }
        for name in bench.engines
    }


def watched(bench: Bench) -> dict[str, Any]:
    """The gateway's own cost again, by engine and streams: the same pieces seen before it and behind it."""

    async def measured(name: str) -> dict[str, Any]:
        home, key = bench.there.home, bench.targets[name].key
        async with llm_tap.gateway(home, name, key) as (tap, target):
            return {
                str(streams): await llm_tap.measure(
                    tap, target, bench.questions, bench.settings.short,
                    streams=streams, answers=streams * bench.settings.watched * (8 // streams or 1),
                )
                for streams in STREAMS
            }  # fmt: skip

    return {name: uvloop.run(measured(name)) for name in bench.engines}


def fairness(bench: Bench) -> dict[str, Any]:
    """Between two tenants, on the fastest engine."""
    name, given = bench.engines[-1], bench.settings
    small, large = llm_servers.two_tenants(bench.there, name)
    measured = llm_measures.fairness(
        small,
        large,
        bench.questions,
        given.crowded,
        streams=given.streams,
        seconds=given.seconds,
        rounds=given.crowds,
    )
    return {"deployment": name, **uvloop.run(measured)}


def embeddings(bench: Bench) -> dict[str, Any]:
    """By replicas."""
    there, given = bench.there, bench.settings
    llm_servers.deploy_embeddings(there)
    if EMBEDDINGS in there.missing:
        return {}
    target = there.target(EMBEDDINGS, bench.targets[LLAMA].key)
    return llm_embeddings.measure(
        target,
        there.package(EMBEDDINGS),
        lambda replicas: llm_servers.scale(there, EMBEDDINGS, replicas),
        llm_embeddings.Load(texts=given.texts, rounds=max(given.rounds // 2 + 1, 1), seed=bench.seed),
    )


def cancellation(bench: Bench) -> dict[str, Any]:
    """By engine: half of as many streams as there are slots hang up, then all of them."""

    async def measured(name: str, processes: list[psutil.Process]) -> list[dict[str, Any]]:
        direct = await llm_direct.connect(bench.there.home, name)
        target, questions, shape = bench.targets[name], bench.questions, bench.settings.crowded
        found = []
        for _ in range(bench.settings.hangups):
            row = await llm_measures.cancellation(
                target, direct, questions, shape, streams=direct.hello.slots
            )
            row["silent_s"] = await llm_measures.silence(
                target, processes, questions, shape, streams=direct.hello.slots
            )
            found.append(row)
        direct.close()
        return found

    return {name: uvloop.run(measured(name, bench.there.processes(name))) for name in bench.engines}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "speed": speed,
    "first_token": first_token,
    "gateway": gateway,
    "watched": watched,
    "fairness": fairness,
    "embeddings": embeddings,
    "cancellation": cancellation,
}


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every figure of the issue that this run can tell."""
    return [goal for name, of in GOALS.items() if result.get(name) for goal in of(result[name])]


def _goal(what: str, value: float, bound: float, *, at_least: bool = False) -> dict[str, Any]:
    reached = value >= bound if at_least else value <= bound
    return {"what": what, "value": value, "bound": bound, "at_least": at_least, "reached": reached}


def _of_speed(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for streams, rows in found.items():
        for name, least in ((LLAMA, 0.97), (OPENVINO, {"4": 2.3, "16": 2.5}.get(streams))):
            if name in rows and least:
                what = f"{name}, {streams} streams: tokens/s, times {BARE}'s"
                yield _goal(what, _times(rows, name), least, at_least=True)


def _of_first_token(rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if OPENVINO in rows:
        ratio = rows[OPENVINO]["first_ms"] / rows[BARE]["first_ms"]
        yield _goal(f"{OPENVINO}: first token of a long prompt, times {BARE}'s", ratio, 0.25)


def _of_watched(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What asking in turn finds has no verdict: an engine's times vary by more than the bounds."""
    for name, levels in found.items():
        for streams, row in levels.items():
            who = f"{name}, {streams} streams: the gateway adds to a"
            yield _goal(f"{who} first token, ms", row["first_ms"], 2)
            yield _goal(f"{who} token, ms", row["piece_ms"], 0.2)


def _of_fairness(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    who = "a tenant beside one with ten times the streams"
    yield _goal(f"{who}: tokens/s, times those alone", found["kept"], 0.5, at_least=True)
    yield _goal(f"{who}: how far its share is from fair", abs(found["share"] / 0.5 - 1), 0.1)


def _of_embeddings(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for workers, row in found["workers"].items():
        what = f"embeddings, {workers} replicas: texts/s, times ONNX Runtime's with as many threads"
        yield _goal(what, row["times_bare"], 0.85, at_least=True)


def _of_cancellation(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, rows in found.items():
        for figure, what in (("longest_s", "a slot that is free"), ("silent_s", "an engine that rests")):
            longest = max(row[figure] for row in rows)
            yield _goal(f"{name}: from hanging up to {what}, s", longest, 1)


GOALS: dict[str, Callable[[dict[str, Any]], Iterator[dict[str, Any]]]] = {
    "speed": _of_speed,
    "first_token": _of_first_token,
    "watched": _of_watched,
    "fairness": _of_fairness,
    "embeddings": _of_embeddings,
    "cancellation": _of_cancellation,
}


def _times(rows: dict[str, Any], name: str) -> float:
    """The median over rounds: the two of one round ran one after the other."""
    pairs = zip(rows[name]["rounds"], rows[BARE]["rounds"], strict=True)
    return statistics.median(ours / bare for ours, bare in pairs)


def _print(result: dict[str, Any]) -> None:
    for streams, rows in result.get("speed", {}).items():
        for name, row in rows.items():
            print(f"{streams:>3} streams  {name:20}{row['tokens_per_second']:8.1f} tokens/s", flush=True)
    for name, row in result.get("first_token", {}).items():
        print(f"first token  {name:20}{row['first_ms']:8.1f} ms of {row['prompt_tokens']:.0f} tokens")
    for name, levels in result.get("gateway", {}).items():
        for streams, row in levels.items():
            for figure, what in (("first_ms", "first token"), ("each_ms", "token")):
                low, high = row[f"interval_{figure}"]
                more = f"{what} {row[f'added_{figure}']:.2f} ms more ({low:.2f} to {high:.2f})"
                print(f"{name}, {streams} streams, through the gateway in turn: {more}")
    for name, why in result["missing"].items():
        print(f"not measured: {name}: {why}")
    for goal in result["goals"]:
        verdict, sign = "reached" if goal["reached"] else "MISSED", ">=" if goal["at_least"] else "<="
        print(f"{verdict:8}{goal['what']}: {goal['value']:.3g} ({sign} {goal['bound']})")
    print(f"{result['seconds']:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
