"""Speed: how long a prompt and an answer's token take at least, by the roofline.

A step cannot end before its bytes are read and its operations are done (Williams, Waterman and Patterson,
"Roofline", CACM 52:4, 2009): max(bytes / bandwidth, operations / FLOP/s), and after it the parts have to speak.
`EFFICIENCY` is the share of a roofline that serving engines are taken to reach; measure your own and give it.
"""

from typing import Final

from msgspec import Struct

from modelyard.planning.hardware import Hardware
from modelyard.planning.memory import CHUNK, Load, cache_bytes, precision_of, weight_bytes
from modelyard.planning.network import Network, pass_seconds, reduce_seconds
from modelyard.planning.parallelism import Layout
from modelyard.planning.shapes import Shape

EFFICIENCY: Final = 0.6


class Step(Struct, frozen=True, kw_only=True):
    """Seconds of one step (a token of each stream, or a prompt whole) through all stages, each part by itself.

    `busy`: how long it keeps the slowest stage, which is what it costs others."""

    reading: float
    computing: float
    sending: float
    seconds: float
    busy: float

    @property
    def bound(self) -> str:
        """Which part is longest."""
        parts = {"memory bandwidth": self.reading, "arithmetic": self.computing, "network": self.sending}
        return max(parts, key=lambda name: parts[name])


class Work(Struct, frozen=True, kw_only=True):
    """A load as it is laid out: what the times are computed of."""

    load: Load
    hardware: Hardware
    layout: Layout
    network: Network
    efficiency: float


class _Parts(Struct, frozen=True, kw_only=True):
    """Of one stage: seconds at the roofline, and of its all-reduces; `passing`: from the first to the last."""

    reading: float
    computing: float
    reducing: float
    passing: float


def decode(work: Work) -> Step:
    """A token of each stream. The streams are split over the stages, so that all of them work at once; each stage
    reads its weights and its streams' caches anew for every part.

    Operations: 2 for each parameter that a token uses, 4 x heads x head_dim for each token that a layer remembers
    (the product with its key and with its value)."""
    shape, layout = work.load.shape, work.layout
    part = -(-layout.streams // layout.pipeline)
    share = -(-shape.layers // layout.pipeline) / shape.layers
    weights = _weights_read(work.load, part) / layout.tensor
    cached = (
        cache_bytes(shape, work.load.context, work.load.kv_bits) * part / min(layout.tensor, shape.kv_heads)
    )
    looking = 4 * shape.heads * shape.head_dim * shape.remembered(work.load.context)
    parts = _Parts(
        reading=share * (weights + cached) / work.hardware.bandwidth,
        computing=share * part * (2 * shape.active + looking) / layout.tensor / _flops(work),
        reducing=share * reduce_seconds(work.network, work.hardware, part),
        passing=pass_seconds(work.network, work.hardware, layout, part),
    )
    return _step(parts, work)


def prefill(work: Work, prompt: int) -> Step:
    """One prompt, in chunks of 2,048 tokens, each of which reads the weights anew. Only its last token needs the
    vocabulary's logits. A token looks back on those before it: P^2 / 2 pairs, fewer in layers with a window. The
    stages follow each other, so that one prompt alone gains nothing from them."""
    shape, layout = work.load.shape, work.layout
    chunks = -(-prompt // CHUNK)
    share = -(-shape.layers // layout.pipeline) / shape.layers
    body = max(shape.active - shape.vocabulary * shape.hidden, 0)
    looking = 4 * shape.heads * shape.head_dim * _pairs(shape, prompt)
    operations = 2 * body * prompt + 2 * shape.vocabulary * shape.hidden + looking
    weights = chunks * _weights_read(work.load, min(prompt, CHUNK)) / layout.tensor
    parts = _Parts(
        reading=share * weights / work.hardware.bandwidth,
        computing=share * operations / layout.tensor / _flops(work),
        reducing=share * reduce_seconds(work.network, work.hardware, prompt, chunks),
        passing=pass_seconds(work.network, work.hardware, layout, prompt, chunks),
    )
    return _step(parts, work)


def _step(parts: _Parts, work: Work) -> Step:
    stages = work.layout.pipeline
    busy = max(parts.reading, parts.computing) / work.efficiency + parts.reducing
    return Step(
        reading=stages * parts.reading,
        computing=stages * parts.computing,
        sending=stages * parts.reducing + parts.passing,
        seconds=stages * busy + parts.passing,
        busy=busy,
    )


def _flops(work: Work) -> float:
    precision = work.load.shape.precision if work.load.precision == "stored" else work.load.precision
    return work.hardware.arithmetic(precision_of(precision).arithmetic)[1]


def _weights_read(load: Load, tokens: int) -> float:
    """Bytes of the weights that a step of `tokens` tokens uses: all but the embedding's other rows and the experts
    that no token drew."""
    shape = load.shape
    whole = weight_bytes(shape, load.precision)
    if load.precision != "stored" and precision_of(load.precision).experts_only:
        rest = (shape.parameters - shape.expert_parameters) * 2
        share = shape.touched(tokens) / shape.expert_parameters if shape.expert_parameters else 0.0
        return (whole - rest) * share + shape.shared * 2
    return whole * (shape.shared + shape.touched(tokens)) / shape.parameters


def _pairs(shape: Shape, prompt: int) -> float:
    """Of a token and one that it looks back on, summed over the layers."""
    window = min(shape.window, prompt)
    full = prompt * prompt / 2
    return (shape.layers - shape.windowed) * full + shape.windowed * (window * prompt - window * window / 2)
