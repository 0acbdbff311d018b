"""A plan as text. Sizes are decimal: 1 GB is 1e9 bytes."""

from collections.abc import Iterator

from modelyard.planning.cost import Cost
from modelyard.planning.plan import Plan
from modelyard.planning.speed import Step


def lines(plan: Plan) -> Iterator[str]:
    request, shape = plan.request, plan.request.shape
    used = f", {shape.active / 1e9:.4g}B of them for a token" if shape.experts else ""
    yield f"{shape.name}: {shape.parameters / 1e9:.4g}B parameters{used}, {shape.layers} layers, {plan.precision}"
    yield (
        f"on {request.count} x {request.hardware.name}, {_many(request.streams, 'stream')} of "
        f"{request.context:,} tokens ({plan.prompt:,} of the prompt, {plan.answer:,} of the answer)"
    )
    yield ""
    yield from _memory(plan)
    yield from _parallelism(plan)
    yield from _network(plan)
    if plan.decode and plan.prefill and plan.cost:
        yield from _speed(plan, plan.decode, plan.prefill, plan.cost)
        yield from _cost(plan, plan.cost)
    else:
        yield from _remedies(plan)
    yield ""
    yield from plan.notes


def _memory(plan: Plan) -> Iterator[str]:
    use, layout = plan.layout.use, plan.layout
    request = plan.request
    yield "memory"
    yield f"  weights            {_size(plan.weights)}"
    yield f"  cache of a token   {_size(plan.cache_token)} ({request.kv_precision})"
    whole = plan.cache_stream * request.streams
    yield f"  cache of a stream  {_size(plan.cache_stream)}; all streams {_size(whole)}"
    yield (
        f"  each accelerator   {_size(use.weights)} weights + {_size(use.cache)} cache + {_size(use.activations)} "
        f"activations + {_size(use.overhead)} overhead = {_size(use.total)} of {_size(layout.usable)} usable"
    )
    if layout.fits:
        yield f"  room               {_many(plan.room, 'stream')} of this length"


def _parallelism(plan: Plan) -> Iterator[str]:
    layout = plan.layout
    idle = plan.request.count - layout.replicas * layout.group
    yield "parallelism"
    yield (
        f"  tensor {layout.tensor} x pipeline {layout.pipeline}, {_many(layout.replicas, 'copy', 'copies')}, "
        f"{_many(layout.hosts, 'host')} a copy" + (f", {idle} accelerators idle" if idle else "")
    )
    yield f"  {layout.why}"


def _network(plan: Plan) -> Iterator[str]:
    network = plan.network
    if plan.layout.group == 1:
        return
    yield "network, a token"
    if network.reduced:
        yield f"  within a layer     {network.reduced} all-reduces, {_size(network.moved)} sent by each accelerator"
    if network.passed:
        between = f", over {_many(plan.layout.crosses, 'boundary', 'boundaries')} between hosts"
        yield f"  between stages     {_size(network.passed)}" + (between if plan.layout.crosses else "")


def _speed(plan: Plan, decode: Step, prefill: Step, cost: Cost) -> Iterator[str]:
    share = f"{plan.request.efficiency:.0%} of the roofline"
    yield f"time ({share}; the bound is the roofline itself)"
    yield f"  first token        {_time(cost.first)} for {plan.prompt:,} tokens; {_bound(prefill)}"
    yield f"  a token of each    {_time(decode.seconds)}; {_bound(decode)}"
    yield f"  a stream           {_rate(cost.stream)} tokens/s"
    yield f"  all streams        {_rate(cost.answers)} tokens/s with their prompts, {_rate(cost.decoding)} without"
    yield f"  prompts alone      {_rate(cost.prompts)} tokens/s"


def _bound(step: Step) -> str:
    return (
        f"bound {_time(max(step.reading, step.computing, step.sending))} by {step.bound} (reading "
        f"{_time(step.reading)}, computing {_time(step.computing)}, sending {_time(step.sending)})"
    )


def _cost(plan: Plan, cost: Cost) -> Iterator[str]:
    price = plan.request.hardware.price
    yield f"cost, at {price:g} an accelerator's hour ({cost.hour:g} an hour in all), never idle"
    yield f"  a million tokens   {cost.million_prompt:.3g} of prompts, {cost.million_answer:.3g} of answers alone"
    yield f"  with its prompt    {cost.million_all:.3g} a million of answers"


def _remedies(plan: Plan) -> Iterator[str]:
    yield f"does not fit: each accelerator lacks {_size(plan.short)}"
    if plan.remedies:
        yield "  each of these by itself would do: " + ", ".join(plan.remedies)
    else:
        yield "  no shorter context, fewer streams, lower precision or 64 hosts of it would do"


def _size(count: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if count >= unit:
            return f"{count / unit:,.4g} {name}"
    return f"{count:,.0f} B"


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.3g} s"
    return f"{seconds * 1e3:.3g} ms"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _many(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
