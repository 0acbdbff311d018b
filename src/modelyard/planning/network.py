"""Network: what the parts of a model send each other for a token."""

from msgspec import Struct

from modelyard.planning.hardware import Hardware
from modelyard.planning.memory import ACTIVATION_BYTES
from modelyard.planning.parallelism import Layout
from modelyard.planning.shapes import Shape


class Network(Struct, frozen=True, kw_only=True):
    """Of one token, in bytes.

    reduced   all-reduces of a token, over all layers; each is of one hidden vector
    moved     bytes that each accelerator of a tensor group sends for them
    passed    bytes from one stage to the next
    """

    reduced: int
    moved: float
    passed: float


def network_of(shape: Shape, layout: Layout) -> Network:
    """Two all-reduces a layer, after the attention and after the feed-forward part (Megatron-LM, arXiv:1909.08053,
    section 3). A ring all-reduce of n bytes over t parts sends 2 (t - 1) / t x n from each (Patarasuk and Yuan,
    "Bandwidth optimal all-reduce algorithms", 2009)."""
    vector = shape.hidden * ACTIVATION_BYTES
    reduced = 2 * shape.layers if layout.tensor > 1 else 0
    moved = reduced * 2 * (layout.tensor - 1) / layout.tensor * vector
    return Network(reduced=reduced, moved=moved, passed=vector if layout.pipeline > 1 else 0.0)


def reduce_seconds(network: Network, hardware: Hardware, tokens: float, times: int = 1) -> float:
    """All-reduces of all layers for `tokens` tokens in `times` steps: each waits for a latency, and the bytes cross
    the link."""
    return times * network.reduced * hardware.link_latency + tokens * network.moved / hardware.link


def pass_seconds(
    network: Network, hardware: Hardware, layout: Layout, tokens: float, times: int = 1
) -> float:
    """From the first stage to the last: boundaries between hosts over the network, the others over the link."""
    inside = layout.pipeline - 1 - layout.crosses
    size = tokens * network.passed
    return layout.crosses * (times * hardware.network_latency + size / hardware.network) + inside * (
        times * hardware.link_latency + size / hardware.link
    )
