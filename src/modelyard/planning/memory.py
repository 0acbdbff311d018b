"""Memory: weights by precision, the key-value cache, what a step needs besides."""

from typing import Final

from msgspec import Struct

from modelyard.errors import UnknownName
from modelyard.planning.hardware import Hardware
from modelyard.planning.shapes import Shape

CHUNK: Final = 2048
"""Tokens of prompts that are computed at a time (vLLM's max_num_batched_tokens, by default)."""
ACTIVATION_BYTES: Final = 2
LOGIT_BYTES: Final = 4


class Precision(Struct, frozen=True, kw_only=True):
    """How weights are kept. `arithmetic` is what multiplies them; formats of integers are turned into bf16 first.
    `experts_only`: the rest of the model stays bf16."""

    bits: float
    arithmetic: str = "bf16"
    experts_only: bool = False


PRECISIONS: Final[dict[str, Precision]] = {
    "fp32": Precision(bits=32, arithmetic="fp32"),
    "bf16": Precision(bits=16),
    "fp16": Precision(bits=16),
    "fp8": Precision(bits=8, arithmetic="fp8"),
    "int8": Precision(bits=8.5),
    "int4": Precision(bits=4.5),
    "mxfp4": Precision(bits=4.25, experts_only=True),
}
"""int8 and int4 with a 16-bit scale for 32 weights, as ggml's Q8_0, Q4_0 and Q4_K have; mxfp4 with an 8-bit scale
for 32 (OCP Microscaling Formats, version 1.0)."""
KV_BITS: Final[dict[str, int]] = {"fp32": 32, "bf16": 16, "fp16": 16, "fp8": 8}


class Use(Struct, frozen=True, kw_only=True):
    """Bytes of one accelerator, of the fullest."""

    weights: float
    cache: float
    activations: float
    overhead: float

    @property
    def total(self) -> float:
        return self.weights + self.cache + self.activations + self.overhead


def precision_of(name: str) -> Precision:
    """Raises UnknownName."""
    if name not in PRECISIONS:
        raise UnknownName("precision", name, PRECISIONS)
    return PRECISIONS[name]


def kv_bits_of(name: str) -> int:
    """Raises UnknownName."""
    if name not in KV_BITS:
        raise UnknownName("precision of the cache", name, KV_BITS)
    return KV_BITS[name]


def weight_bytes(shape: Shape, precision: str) -> float:
    """Parameters x bits / 8, or the file's own size where it is kept as it is stored ("stored")."""
    if precision == "stored":
        assert shape.stored is not None
        return shape.stored
    kept = precision_of(precision)
    if not kept.experts_only:
        return shape.parameters * kept.bits / 8
    return shape.expert_parameters * kept.bits / 8 + (shape.parameters - shape.expert_parameters) * 2


def cache_bytes(shape: Shape, context: int, bits: int) -> float:
    """Of one sequence: a key and a value of kv_heads x head_dim for each layer and each token that it remembers.

    2 x layers x kv_heads x head_dim x context x bytes; layers with a window remember at most that many tokens."""
    return 2 * shape.kv_heads * shape.head_dim * shape.remembered(context) * bits / 8


def activation_bytes(shape: Shape, streams: int, tensor: int) -> float:
    """What a step holds at once besides: for each token of a chunk the residual and its norm (2 h, whole on every
    accelerator of a tensor group), queries, keys and values, and the feed-forward part's gate, up and their product
    (3 f), which are divided; and a row of float32 logits for each stream."""
    divided = (shape.heads + 2 * shape.kv_heads) * shape.head_dim + 3 * shape.inner
    chunk = CHUNK * (2 * shape.hidden + divided / tensor) * ACTIVATION_BYTES
    return chunk + streams * shape.vocabulary * LOGIT_BYTES / tensor


class Load(Struct, frozen=True, kw_only=True):
    """What one replica of a model holds: `precision` of the weights, `kv_bits` of the cache, `streams` sequences of
    `context` tokens."""

    shape: Shape
    precision: str
    kv_bits: int
    context: int
    streams: int


def use_of(load: Load, hardware: Hardware, tensor: int, pipeline: int) -> Use:
    """Of the fullest accelerator where layers stand in `pipeline` stages and each layer is cut in `tensor` parts.

    A stage has at most ceil(layers / pipeline) layers. KV heads cannot be cut: with more parts than KV heads, each
    part keeps a copy of one head."""
    stage = -(-load.shape.layers // pipeline) / load.shape.layers
    cache = cache_bytes(load.shape, load.context, load.kv_bits) * load.streams
    return Use(
        weights=weight_bytes(load.shape, load.precision) * stage / tensor,
        cache=cache * stage / min(tensor, load.shape.kv_heads),
        activations=activation_bytes(load.shape, load.streams, tensor),
        overhead=hardware.overhead,
    )
