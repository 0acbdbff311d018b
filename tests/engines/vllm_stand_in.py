"""A stand-in for `vllm serve`: vLLM's arguments, its errors and its stream, without a model.

Written by vLLM 0.33's sources: entrypoints/common/cli_args.py and engine/arg_utils.py (arguments),
entrypoints/openai/completion/protocol.py and serving.py (requests, chunks, logprobs, usage), sampling_params.py
(ranges), entrypoints/serve/middleware/authenticate.py (keys), utils/api_utils.py (lengths). It "generates" the
prompt's own tokens again, from the first on. How it misbehaves stands in `behaviour.json` in the model's folder.

    GET /seen     the arguments, the requests' bodies and how many ended before their time
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import uvicorn
from tokenizers import Tokenizer

BLOCK = 16
KNOWN = {"model", "prompt", "stream", "stream_options", "max_tokens", "temperature", "top_p", "top_k", "min_p",
         "seed", "presence_penalty", "frequency_penalty", "repetition_penalty", "ignore_eos", "stop", "logit_bias",
         "logprobs", "structured_outputs"}  # fmt: skip
RANGES = {"temperature": (0, 2), "top_p": (1e-9, 1), "min_p": (0, 1), "presence_penalty": (-2, 2),
          "frequency_penalty": (-2, 2), "repetition_penalty": (1e-9, 1e9), "max_tokens": (1, 1 << 62)}  # fmt: skip


class Refusal(Exception):
    def __init__(self, status: int, kind: str, message: str) -> None:
        self.status = status
        self.said = {"error": {"message": message, "type": kind, "param": None, "code": status}}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("model_tag")
    flag = argparse.BooleanOptionalAction
    for name, kind in {"uds": str, "served-model-name": str, "load-format": str, "generation-config": str,
                       "max-model-len": int, "max-num-seqs": int, "max-logprobs": int,
                       "gpu-memory-utilization": float, "dtype": str, "kv-cache-dtype": str,
                       "tensor-parallel-size": int, "pipeline-parallel-size": int, "quantization": str,
                       "distributed-executor-backend": str, "max-lora-rank": int, "lora-modules": json.loads,
                       }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=kind)
    for name in ("enable-prefix-caching", "enable-prompt-tokens-details", "disable-uvicorn-access-log",
                 "disable-fastapi-docs", "enable-expert-parallel", "enable-lora"):  # fmt: skip
        parser.add_argument(f"--{name}", action=flag)
    return parser.parse_args()


class Server:
    def __init__(self, said: argparse.Namespace) -> None:
        self.said = said
        folder = Path(said.model_tag)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        behaviour = folder / "behaviour.json"
        self.behaviour: dict[str, Any] = json.loads(behaviour.read_text()) if behaviour.exists() else {}
        self.models = {said.served_model_name} | ({said.lora_modules["name"]} if said.enable_lora else set())
        self.bodies: list[dict[str, Any]] = []
        self.cached: list[list[int]] = []
        self.aborted = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        try:
            if scope["path"] == "/health":
                await plain(send, 200 if self.behaviour.get("healthy", True) else 503, b"", b"text/plain")
            elif scope["path"] == "/seen":
                environment = {k: v for k, v in os.environ.items() if "VLLM" in k}
                seen = {"arguments": vars(self.said), "bodies": self.bodies, "aborted": self.aborted,
                        "environment": environment}  # fmt: skip
                await plain(send, 200, json.dumps(seen).encode())
            elif scope["path"] == "/v1/completions" and self.allowed(scope):
                await self.complete(await body_of(receive), receive, send)
            else:
                await plain(send, 401, b'{"error": "Unauthorized"}')
        except Refusal as refusal:
            await plain(send, refusal.status, json.dumps(refusal.said).encode())

    def allowed(self, scope: dict[str, Any]) -> bool:
        return (
            dict(scope["headers"]).get(b"authorization") == b"Bearer " + os.environ["VLLM_API_KEY"].encode()
        )

    async def complete(self, raw: bytes, receive: Any, send: Any) -> None:
        asked = json.loads(raw)
        self.bodies.append(asked)
        if self.behaviour.get("failing"):
            raise Refusal(
                500, "InternalServerError", "EngineCore encountered an issue in /opt/vllm/engine.py"
            )
        room = self.checked(asked)
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"text/event-stream; charset=utf-8")]})  # fmt: skip
        gone = asyncio.create_task(disconnected(receive))
        try:
            for event in self.events(asked, room):
                if gone.done():
                    self.aborted += 1
                    return
                await chunk(send, event)
                await asyncio.sleep(self.behaviour.get("pause", 0))
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        finally:
            gone.cancel()

    def checked(self, asked: dict[str, Any]) -> int:
        """Tokens that may be generated."""
        if asked.keys() - KNOWN:
            raise Refusal(400, "Bad Request", f"unknown to the stand-in: {asked.keys() - KNOWN}")
        if asked["model"] not in self.models:
            raise Refusal(404, "NotFoundError", f"The model `{asked['model']}` does not exist.")
        prompt, longest = asked["prompt"], self.said.max_model_len
        if any(not 0 <= token < self.tokenizer.get_vocab_size() for token in prompt):
            raise Refusal(400, "BadRequestError", "Token id is out of vocabulary")
        wanted = asked.get("max_tokens") or 16
        if len(prompt) > longest or wanted > longest:
            raise Refusal(400, "BadRequestError", f"This model's maximum context length is {longest} tokens.")
        wanted = min(wanted, longest - len(prompt))
        for name, (least, most) in RANGES.items():
            value = wanted if name == "max_tokens" else asked.get(name)
            if value is not None and not least <= value <= most:
                raise Refusal(400, "BadRequestError", f"{name} must be in [{least}, {most}], got {value}.")
        if (asked.get("logprobs") or 0) > self.said.max_logprobs:
            raise Refusal(400, "BadRequestError", "Requested sample logprobs are greater than max allowed")
        return wanted

    def events(self, asked: dict[str, Any], room: int) -> Any:
        """Chunks as serving.py makes them: the usage goes on with each, and stands by itself at the end."""
        prompt, stops = asked["prompt"], asked.get("stop") or []
        cached = self.hit(prompt)
        text, told, ids = "", 0, []
        held = max((len(stop) for stop in stops), default=1) - 1  # characters that may begin a stop wait
        for place in range(room):
            ids.append(prompt[place % len(prompt)])
            whole = self.tokenizer.decode(ids, skip_special_tokens=True)
            if whole.endswith("\ufffd") and place + 1 < room:
                whole = text  # a character that is not whole waits
            found = [whole.index(stop) for stop in stops if stop in whole]
            text = whole[: min(found)] if found else whole
            finish = "stop" if found else "length" if place + 1 == room else None
            if self.behaviour.get("ends_early") == place:
                return
            safe = len(text) if finish else max(len(text) - held, told)
            yield self.chunk(asked, text[told:safe], ids, finish)
            told = safe
            self.misbehave(place)
            if self.behaviour.get("fails_at") == place:
                yield Refusal(500, "InternalServerError", "EngineCore encountered an issue.").said
                return
            if found:
                break
        usage = self.usage(prompt, ids)
        if self.said.enable_prompt_tokens_details:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        yield {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": asked["model"], "choices": [],
               "usage": usage}  # fmt: skip

    def chunk(self, asked: dict[str, Any], text: str, ids: list[int], finish: str | None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": self.logprobs(asked, ids[-1]), "finish_reason": finish,
                  "stop_reason": None, "prompt_token_ids": None, "token_ids": None}  # fmt: skip
        said = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": asked["model"],
                "choices": [choice], "kv_transfer_params": None}  # fmt: skip
        if (asked.get("stream_options") or {}).get("continuous_usage_stats"):
            said["usage"] = self.usage(asked["prompt"], ids)
        return said

    def usage(self, prompt: list[int], ids: list[int]) -> dict[str, Any]:
        return {
            "prompt_tokens": len(prompt),
            "total_tokens": len(prompt) + len(ids),
            "completion_tokens": len(ids),
        }

    def logprobs(self, asked: dict[str, Any], token: int) -> dict[str, Any] | None:
        """The one drawn first, though it is not the likeliest; then the likeliest `logprobs`."""
        count = asked.get("logprobs")
        if count is None:
            return None
        names = [
            self.tokenizer.decode([token], skip_special_tokens=False),
            *(chr(0x41 + i) for i in range(count)),
        ]
        top = dict(zip(names, [-2.5, *(-0.5 - i for i in range(count))], strict=True))
        return {"text_offset": [0], "token_logprobs": [-2.5], "tokens": names[:1], "top_logprobs": [top]}

    def hit(self, prompt: list[int]) -> int:
        """Whole blocks that an earlier prompt began with, but never the last token."""
        if not self.said.enable_prefix_caching:
            return 0
        most = max((common(prompt, before) for before in self.cached), default=0)
        self.cached.append(prompt)
        return min(most, len(prompt) - 1) // BLOCK * BLOCK

    def misbehave(self, place: int) -> None:
        if self.behaviour.get("crashes_at") == place:
            os.kill(os.getpid(), signal.SIGKILL)


def common(one: list[int], other: list[int]) -> int:
    """Tokens with which both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


async def body_of(receive: Any) -> bytes:
    found = b""
    while True:
        message = await receive()
        found += message.get("body", b"")
        if not message.get("more_body"):
            return found


async def disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def plain(send: Any, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})


async def chunk(send: Any, event: dict[str, Any]) -> None:
    await send({"type": "http.response.body", "body": b"data: " + json.dumps(event).encode() + b"\n\n",
                "more_body": True})  # fmt: skip


def main() -> None:
    server = Server(arguments())
    if server.behaviour.get("breaks_at_start"):
        print("CUDA out of memory in /opt/vllm", file=sys.stderr)
        sys.exit(3)
    if "worker" in server.behaviour:  # as the engine's own processes: in the server's group
        worker = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
        Path(server.behaviour["worker"]).write_text(f"{os.getpid()} {worker.pid}")
    if server.behaviour.get("stubborn"):
        uvicorn.Server.handle_exit = lambda *_: None  # type: ignore[method-assign]
    log = "warning" if server.said.disable_uvicorn_access_log else "info"
    uvicorn.run(server, uds=server.said.uds, log_level=log, lifespan="off", access_log=False)


if __name__ == "__main__":
    main()
