"""Embeddings: all-MiniLM-L6-v2 at 64 connections through the gateway, beside ONNX Runtime asked in batches."""

import asyncio
import base64
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import llm_load
import numpy as np
import uvloop
from llm_load import WORDS, Target

from modelyard import packages

BATCHES = (1, 2, 4, 8, 16, 32, 64)
SCAN = 192  # texts of the search for the best size of a batch


def texts(count: int, seed: int) -> list[str]:
    """Sentences of 3 to 80 words, 16 at the median, long ones rare: as prose has them."""
    drawn = random.Random(seed)
    lengths = [min(max(round(drawn.lognormvariate(2.77, 0.6)), 3), 80) for _ in range(count)]
    return [" ".join(drawn.choices(WORDS, k=length)).capitalize() + "." for length in lengths]


class Bare:
    """The package's own graph and tokenizer, with nothing between. `threads` batches run at a time, each on one
    thread: faster than one batch on several."""

    def __init__(self, package: Path, threads: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        manifest = packages.read(package, verify=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = str(package / manifest.formats["onnx"])
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(package / manifest.preprocessing["tokenizer"]))
        self._tokenizer.enable_truncation(int(manifest.preprocessing["max_length"]))
        self._tokenizer.enable_padding(pad_id=int(manifest.preprocessing["pad_id"]))
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self._threads = ThreadPoolExecutor(threads)

    def run(self, some: Sequence[str]) -> Any:
        """Vectors, FP32 [len(some), width], of a batch that is padded to its longest."""
        read = self._tokenizer.encode_batch(list(some))
        tensors = {
            "input_ids": np.array([e.ids for e in read], np.int64),
            "attention_mask": np.array([e.attention_mask for e in read], np.int64),
            "token_type_ids": np.array([e.type_ids for e in read], np.int64),
        }
        return self._session.run(None, {name: tensors[name] for name in self._inputs})[0]

    def rate(self, all_: Sequence[str], size: int, *, ordered: bool) -> float:
        """Texts a second in batches of `size`, as they come or with those of a length together."""
        began = time.monotonic()
        queue = sorted(all_, key=len) if ordered else all_
        list(self._threads.map(self.run, [queue[at : at + size] for at in range(0, len(queue), size)]))
        return len(all_) / (time.monotonic() - began)

    def best(self, all_: Sequence[str]) -> tuple[int, bool]:
        """The size and order that are the fastest."""
        self.rate(all_[:32], 8, ordered=False)
        found = {(size, ordered): self.rate(all_[:SCAN], size, ordered=ordered)
                 for size in BATCHES for ordered in (False, True)}  # fmt: skip
        return max(found, key=lambda way: found[way])


async def asked(target: Target, all_: Sequence[str], connections: int) -> float:
    """Texts a second, one a request, base64 as the openai client asks. Raises RuntimeError for a failure."""
    left = iter(all_)
    parts = urlsplit(target.url)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for text in left:
            writer.write(_request(target, text))
            await _answer(reader)
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(connection() for _ in range(connections)))
    return len(all_) / (time.monotonic() - began)


async def vector(target: Target, text: str) -> Any:
    """FP32 [width]."""
    parts = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(_request(target, text))
    answer = json.loads(await _answer(reader))
    writer.close()
    return np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), "<f4")


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much is asked."""

    texts: int
    rounds: int
    seed: int
    connections: int = 64


def measure(target: Target, package: Path, scale: Callable[[int], None], load: Load) -> dict[str, Any]:
    """One replica beside one thread, and as many of either as there are cores. `scale` sets the replicas."""
    all_ = texts(load.texts, load.seed)
    found: dict[str, Any] = {**asdict(load), "workers": {}}
    for workers in sorted({1, len(os.sched_getaffinity(0))}):
        scale(workers)
        found["workers"][str(workers)] = _compared(target, Bare(package, workers), all_, load)
    return found


def _compared(target: Target, bare: Bare, all_: Sequence[str], load: Load) -> dict[str, Any]:
    np.testing.assert_allclose(
        uvloop.run(vector(target, all_[0])), bare.run(all_[:1])[0], rtol=1e-3, atol=1e-4
    )
    size, ordered = bare.best(all_)
    uvloop.run(asked(target, all_[: 2 * load.connections], load.connections))
    rates: dict[str, list[float]] = {"bare": [], "modelyard": []}
    for name in llm_load.turns(list(rates), load.rounds):
        if name == "bare":
            rates[name].append(bare.rate(all_, size, ordered=ordered))
        else:
            rates[name].append(uvloop.run(asked(target, all_, load.connections)))
    ratios = [ours / theirs for ours, theirs in zip(rates["modelyard"], rates["bare"], strict=True)]
    best = {"size": size, "by_length": ordered}
    return {"texts_per_second": rates, "best_batch": best, "times_bare": statistics.median(ratios)}


def _request(target: Target, text: str) -> bytes:
    body = json.dumps({"model": target.model, "input": text, "encoding_format": "base64"}).encode()
    lines = ["POST /v1/embeddings HTTP/1.1", f"Host: {urlsplit(target.url).netloc}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"Authorization: Bearer {target.key}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    body = await reader.readexactly(int(length.split(b":")[1]))
    if b" 200 " not in head[:16]:
        raise RuntimeError(f"{head[:15].decode()}: {body[:300].decode(errors='replace')}")
    return body
