"""Plan: a request, answered whole."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from modelyard.errors import InvalidInput
from modelyard.planning.cost import Cost, cost_of
from modelyard.planning.hardware import MOST
from modelyard.planning.memory import (
    KV_BITS,
    PRECISIONS,
    Load,
    cache_bytes,
    kv_bits_of,
    precision_of,
    weight_bytes,
)
from modelyard.planning.network import Network, network_of
from modelyard.planning.parallelism import Layout, choose, told
from modelyard.planning.request import MOST_STREAMS, Request, answer_of
from modelyard.planning.speed import Step, Work, decode, prefill


class Plan(Struct, frozen=True, kw_only=True):
    """The answer; `weights` and the caches are bytes, of one copy of the model.

    room       most streams of this context that fit this hardware
    decode, prefill, cost   None where it does not fit
    short      bytes that each accelerator lacks, 0 where it fits
    remedies   what would make it fit, each by itself
    """

    request: Request
    precision: str
    weights: float
    cache_token: float
    cache_stream: float
    layout: Layout
    network: Network
    room: int
    prompt: int
    answer: int
    decode: Step | None
    prefill: Step | None
    cost: Cost | None
    short: float
    remedies: list[str]
    notes: list[str]


def make_plan(request: Request) -> Plan:
    """Raises InvalidInput and UnknownName for what cannot be asked."""
    answer = answer_of(request)
    load = _load(request)
    layout = _layout(request, load)
    network = network_of(request.shape, layout)
    work = Work(
        load=load, hardware=request.hardware, layout=layout, network=network, efficiency=request.efficiency
    )
    prompt = request.context - answer
    steps = (decode(work), prefill(work, prompt)) if layout.fits else (None, None)
    return Plan(
        request=request,
        precision=load.precision,
        weights=weight_bytes(request.shape, load.precision),
        cache_token=cache_bytes(request.shape, request.context, load.kv_bits) / request.context,
        cache_stream=cache_bytes(request.shape, request.context, load.kv_bits),
        layout=layout,
        network=network,
        room=_most(lambda n: _fits(replace(request, streams=n)), MOST_STREAMS),
        prompt=prompt,
        answer=answer,
        decode=steps[0],
        prefill=steps[1],
        cost=cost_of(steps[0], steps[1], request, layout, (prompt, answer))
        if steps[0] and steps[1]
        else None,
        short=max(layout.use.total - layout.usable, 0.0),
        remedies=[] if layout.fits else _remedies(request, load.precision),
        notes=_notes(request, load),
    )


def _load(request: Request) -> Load:
    """The precision is the stored one where none is asked for."""
    shape = request.shape
    chosen = request.precision or ("stored" if shape.stored is not None else shape.precision)
    if chosen != "stored" and precision_of(chosen).experts_only and not shape.experts:
        raise InvalidInput(f"{chosen} keeps experts, and this model has none", allowed=[p for p in PRECISIONS
                                                                                       if p != chosen])  # fmt: skip
    return Load(
        shape=shape,
        precision=chosen,
        kv_bits=kv_bits_of(request.kv_precision),
        context=request.context,
        streams=request.streams,
    )


def _layout(request: Request, load: Load) -> Layout:
    if request.tensor is None and request.pipeline is None:
        return choose(load, request.hardware, request.count)
    return told(load, request.hardware, request.count, request.tensor or 1, request.pipeline or 1)


def _fits(request: Request) -> bool:
    return _layout(request, _load(request)).fits


def _most(fits: Callable[[int], bool], limit: int) -> int:
    """The greatest number up to `limit` for which `fits` says yes; it says yes up to there and no after it."""
    low, high = 0, limit + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _remedies(request: Request, precision: str) -> list[str]:
    said = []
    if (streams := _most(lambda n: _fits(replace(request, streams=n)), request.streams)) > 0:
        said.append(f"--streams {streams}")
    if (context := _most(lambda n: _fits(replace(request, context=n)), request.context)) > 1:
        said.append(f"--context {context}")
    kept = weight_bytes(request.shape, precision)
    for name in ("fp8", "int4"):
        if weight_bytes(request.shape, name) < kept and _fits(replace(request, precision=name)):
            said.append(f"--precision {name}")
            break
    if KV_BITS[request.kv_precision] > 8 and _fits(replace(request, kv_precision="fp8")):
        said.append("--kv-precision fp8")
    if (count := _enough(request)) is not None:
        said.append(f"--hardware {request.hardware.name}x{count}")
    return said


def _enough(request: Request) -> int | None:
    """The fewest accelerators that would do: a part of a host, then whole hosts."""
    if request.hardware.name == "cpu" or request.tensor or request.pipeline:
        return None
    host = request.hardware.per_host
    sizes = [*(n for n in range(1, host) if host % n == 0), *(host * n for n in range(1, 65))]
    more = (n for n in sizes if request.count < n <= MOST)
    return next((n for n in more if _fits(replace(request, count=n))), None)


def _notes(request: Request, load: Load) -> list[str]:
    shape, hardware = request.shape, request.hardware
    notes = [f"shape: {shape.source}", f"hardware: {hardware.source}", f"assumed: {hardware.assumed}"]
    if shape.longest and request.context > shape.longest:
        notes.append(f"the model is made for {shape.longest:,} tokens at most")
    kept = shape.precision if load.precision == "stored" else load.precision
    wanted = precision_of(kept).arithmetic
    used = hardware.arithmetic(wanted)[0]
    if used != wanted:
        notes.append(f"{hardware.name} does not compute in {wanted}: it is done in {used}")
    return notes
