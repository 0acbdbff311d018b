"""Parallelism: into how many parts a model is cut, and how many copies of it the hardware holds.

Tensor parallelism cuts every layer (Megatron-LM, arXiv:1909.08053): two all-reduces a layer, so only over a host's
own link. Pipeline parallelism puts whole layers on different accelerators (GPipe, arXiv:1811.06965): one hidden
vector a token crosses, so it is what goes between hosts. What is left over holds copies, which need not
speak to each other.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from modelyard.errors import InvalidInput
from modelyard.planning.hardware import Hardware
from modelyard.planning.memory import Load, Use, use_of
from modelyard.planning.shapes import Shape

USABLE: Final = 0.9
"""The share of an accelerator's memory that is planned with; the rest is the allocator's and the driver's."""


class Layout(Struct, frozen=True, kw_only=True):
    """`replicas` copies of the model, each cut in `tensor` x `pipeline` parts, with `streams` sequences each.
    `use` is of the fullest accelerator; `fits`: it is within `usable` bytes."""

    tensor: int
    pipeline: int
    replicas: int
    streams: int
    hosts: int
    use: Use
    usable: float
    why: str = ""

    @property
    def group(self) -> int:
        """Accelerators of one copy."""
        return self.tensor * self.pipeline

    @property
    def fits(self) -> bool:
        return self.use.total <= self.usable

    @property
    def crosses(self) -> int:
        """Boundaries between stages that lie between hosts."""
        return max(self.hosts - 1, 0)


def layouts(load: Load, hardware: Hardware, count: int) -> Iterator[Layout]:
    """All that are considered, the least cut first: within a host by tensors, then by more and more stages. The
    streams of `load` are those of all copies together."""
    cuts = [t for t in tensor_sizes(load.shape, hardware.per_host) if t <= count]
    for tensor in cuts:
        yield lay(load, hardware, count, tensor, 1)
    for pipeline in range(2, min(count // cuts[-1], load.shape.layers) + 1):
        yield lay(load, hardware, count, cuts[-1], pipeline)


def choose(load: Load, hardware: Hardware, count: int) -> Layout:
    """The least cut that fits: what is cut must speak, and copies need not. Where none fits, the one that is short
    of least."""
    tried: list[Layout] = []
    for layout in layouts(load, hardware, count):
        if layout.fits:
            return replace(layout, why=_why(load.shape, hardware, layout, tried))
        tried.append(layout)
    best = min(tried, key=lambda one: one.use.total)
    return replace(best, why="No way of cutting it fits; this one is short of the least memory.")


def told(load: Load, hardware: Hardware, count: int, tensor: int, pipeline: int) -> Layout:
    """The layout that the user asked for. Raises InvalidInput for one that cannot be."""
    allowed = tensor_sizes(load.shape, hardware.per_host)
    if tensor not in allowed:
        raise InvalidInput("the model's heads cannot be cut so within a host", came=tensor, allowed=allowed)
    if not 1 <= pipeline <= load.shape.layers:
        raise InvalidInput(
            "not a number of stages", came=pipeline, allowed=f"1 to {load.shape.layers} layers"
        )
    if tensor * pipeline > count:
        raise InvalidInput(
            "so many parts need more accelerators", came=f"{tensor} x {pipeline}", allowed=count
        )
    return replace(lay(load, hardware, count, tensor, pipeline), why="As you said.")


def lay(load: Load, hardware: Hardware, count: int, tensor: int, pipeline: int) -> Layout:
    """One layout, with its use; copies without a stream of their own are not counted on."""
    group = tensor * pipeline
    streams = -(-load.streams // (count // group))
    replicas = min(count // group, load.streams)
    one = replace(load, streams=streams)
    return Layout(
        tensor=tensor,
        pipeline=pipeline,
        replicas=replicas,
        streams=streams,
        hosts=-(-group // hardware.per_host),
        use=use_of(one, hardware, tensor, pipeline),
        usable=hardware.memory * USABLE,
    )


def tensor_sizes(shape: Shape, per_host: int) -> list[int]:
    """Parts that a layer can be cut in: they divide the heads, they divide the KV heads or are a multiple of them,
    and groups of them fill a host."""
    return [
        t
        for t in range(1, per_host + 1)
        if per_host % t == 0 and shape.heads % t == 0 and (shape.kv_heads % t == 0 or t % shape.kv_heads == 0)
    ]


def _why(shape: Shape, hardware: Hardware, layout: Layout, tried: list[Layout]) -> str:
    copies = f" {layout.replicas} copies share the streams." if layout.replicas > 1 else ""
    if layout.group == 1:
        return "It fits one accelerator whole, so nothing has to be sent." + copies
    last = tried[-1]
    less = (
        f"{last.group} would need {last.use.total / 1e9:,.1f} GB each, of {last.usable / 1e9:,.1f} usable. "
    )
    if layout.pipeline == 1:
        return f"{less}Cut by tensors over the link within a host." + copies
    where = "between hosts" if layout.hosts > 1 else "within the host"
    allow = f"{shape.heads} heads, {shape.kv_heads} KV heads and a host of {hardware.per_host} allow"
    return (
        f"{less}{layout.tensor} parts of a layer are the most that {allow}; stages {where} send little."
        + copies
    )
