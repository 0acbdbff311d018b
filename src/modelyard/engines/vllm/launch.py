"""Launch: how a package's model is started, the format's entry file (`vllm.json`), and vLLM's arguments made of it.

A package is a stranger's: what it can say is this list and nothing else. vLLM has flags that import code by name.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from modelyard.engines.generation import GeneratorOptions
from modelyard.errors import InvalidInput
from modelyard.types.generation import MOST_TOP_LOGPROBS

MODEL: Final = "model"
ADAPTER: Final = "adapter"
"""What vLLM calls the model, and its adapter where there is one."""
_SLOTS: Final = 64
_CONTEXT: Final = 8192
_MOST_FILE: Final = 1 << 20
_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vllm/config/lora.py, MaxLoRARanks
_NAME: Final = r"[a-z0-9_]{1,40}"

Folder = Annotated[str, Meta(min_length=1, max_length=200)]
Parts = Annotated[int, Meta(ge=1, le=1024)]


class Launch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`vllm.json`, beside the folders that it names.

    model      folder of config.json, tokenizer.json and safetensors
    adapter    folder of adapter_config.json and adapter_model.safetensors, a LoRA that all requests go through
    tensor_parallel     parts of each layer; as many GPUs of one host, which speak over NVLink or PCIe
    pipeline_parallel   stages of layers; between hosts, where the model outgrows one
    expert_parallel     experts are divided over the GPUs whole, not cut
    hosts      more than one: the workers are placed by Ray, in whose cluster the replica's host is
    slots, context      where the deployment does not say them
    memory     the share of a GPU's memory that is taken
    quantization        as vLLM names it; None: what config.json says
    startup_seconds     how long loading may take
    """

    model: Folder = "huggingface"
    adapter: Folder | None = None
    tensor_parallel: Parts = 1
    pipeline_parallel: Parts = 1
    expert_parallel: bool = False
    hosts: Parts = 1
    slots: Annotated[int, Meta(ge=1, le=4096)] | None = None
    context: Annotated[int, Meta(ge=2, le=1 << 24)] | None = None
    memory: Annotated[float, Meta(gt=0, le=0.98)] = 0.9
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    quantization: Annotated[str, Meta(pattern=f"^{_NAME}$")] | None = None
    kv_cache: Literal["auto", "fp8", "fp8_e4m3", "fp8_e5m2"] = "auto"
    prefix_caching: bool = True
    startup_seconds: Annotated[float, Meta(gt=0, le=7200)] = 1800.0


class Plan(Struct, frozen=True, kw_only=True):
    """A launch with its folders found and its sizes settled. `rank`: of the adapter, 0 without one."""

    launch: Launch
    model: Path
    adapter: Path | None
    rank: int
    slots: int
    context: int


def read_launch(path: Path, options: GeneratorOptions) -> Plan:
    """Raises InvalidInput for an entry file, folders or sizes that cannot be."""
    data = path.read_bytes()[: _MOST_FILE + 1]
    try:
        launch = msgspec.json.decode(data, type=Launch)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name} does not say how to start vLLM", came=str(error),
                           allowed=Launch.__struct_fields__) from error  # fmt: skip
    model = _folder(path, launch.model, "config.json")
    adapter = None if launch.adapter is None else _folder(path, launch.adapter, "adapter_config.json")
    longest = _whole(_json(model / "config.json"), "max_position_embeddings")
    context = options.context or launch.context or min(longest or _CONTEXT, _CONTEXT)
    if longest and context > longest:
        raise InvalidInput(
            "the model cannot have so long a context", came=context, allowed=f"{longest} at most"
        )
    return Plan(
        launch=launch,
        model=model,
        adapter=adapter,
        rank=_rank(adapter) if adapter else 0,
        slots=options.slots or launch.slots or _SLOTS,
        context=context,
    )


def arguments(plan: Plan, socket: Path) -> list[str]:
    """Of `vllm serve`. Only safetensors are loaded, no code of the model's is run, and what the model's
    generation_config.json says of sampling is left out: a request says all of it."""
    launch = plan.launch
    words = [str(plan.model), "--uds", str(socket), "--served-model-name", MODEL]
    words += ["--load-format", "safetensors", "--generation-config", "vllm"]
    words += ["--max-model-len", str(plan.context), "--max-num-seqs", str(plan.slots)]
    words += ["--max-logprobs", str(MOST_TOP_LOGPROBS), "--gpu-memory-utilization", f"{launch.memory:g}"]
    words += ["--dtype", launch.dtype, "--kv-cache-dtype", launch.kv_cache]
    words += ["--tensor-parallel-size", str(launch.tensor_parallel)]
    words += ["--pipeline-parallel-size", str(launch.pipeline_parallel)]
    words += ["--enable-prefix-caching" if launch.prefix_caching else "--no-enable-prefix-caching"]
    words += ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log", "--disable-fastapi-docs"]
    return [*words, *_where_asked(plan)]


def _where_asked(plan: Plan) -> Iterator[str]:
    launch = plan.launch
    if launch.hosts > 1:
        yield from ("--distributed-executor-backend", "ray")
    if launch.expert_parallel:
        yield "--enable-expert-parallel"
    if launch.quantization is not None:
        yield from ("--quantization", launch.quantization)
    if plan.adapter is not None:
        module = {"name": ADAPTER, "path": str(plan.adapter)}
        yield from ("--enable-lora", "--max-lora-rank", str(plan.rank))
        yield from ("--lora-modules", msgspec.json.encode(module).decode())


def _folder(entry: Path, name: str, holds: str) -> Path:
    """A folder beside the entry file or below its folder; nothing else of the machine can be named."""
    found = entry.parent / name
    inside = not Path(name).is_absolute() and ".." not in Path(name).parts and re.fullmatch(r"[\w./-]+", name)
    if not inside or not (found / holds).is_file():
        raise InvalidInput(f"{entry.name} names a folder without {holds}", came=name,
                           allowed="a folder of the package")  # fmt: skip
    return found


def _rank(adapter: Path) -> int:
    """The least that vLLM knows and that holds the adapter."""
    rank = _whole(_json(adapter / "adapter_config.json"), "r")
    chosen = next((known for known in _RANKS if known >= rank > 0), None)
    if chosen is None:
        raise InvalidInput(
            "vLLM does not take an adapter of this rank", came=rank, allowed=f"1 to {_RANKS[-1]}"
        )
    return chosen


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes()[: _MOST_FILE + 1], type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name} holds no JSON object", came=type(error).__name__) from error


def _whole(found: dict[str, Any], key: str) -> int:
    """A whole number of it or of its text model; 0 where there is none."""
    inner = found.get("text_config")
    value = found.get(key, inner.get(key) if isinstance(inner, dict) else None)
    return value if type(value) is int else 0
