"""`yard plan`."""

from typing import Annotated

import msgspec
import typer

from modelyard.cli.output import Json, show
from modelyard.cli.plan_model import Sizes, find_shape
from modelyard.cli.plan_text import lines
from modelyard.planning.hardware import parse_hardware, with_changes
from modelyard.planning.measuring import measure
from modelyard.planning.plan import make_plan
from modelyard.planning.request import Request

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="A published shape (llama-3.1-70b, ...), a config.json, a folder with one, a GGUF file, or a model of "
        "the platform (MODEL[:VERSION|@ALIAS]). Without it: --params, --layers, --hidden, --heads.",
        show_default=False,
    ),
]
Hardware = Annotated[
    str,
    typer.Option(metavar="NAME[xN]", help="h100, h200, a100, l40s, rtx4090, as h100x8; cpu is this machine."),
]
Context = Annotated[int, typer.Option(help="Tokens of a sequence, prompt and answer.")]
Answer = Annotated[
    int | None, typer.Option(help="Tokens of it that are generated (512, or half).", show_default=False)
]
Streams = Annotated[int, typer.Option(help="Sequences at a time.")]
Precision = Annotated[
    str | None,
    typer.Option(help="Weights: fp32, bf16, fp16, fp8, int8, int4, mxfp4 (as stored).", show_default=False),
]
KvPrecision = Annotated[str, typer.Option(help="The cache: fp32, bf16, fp16, fp8.")]
Price = Annotated[float | None, typer.Option(help="An hour of one accelerator.", show_default=False)]
Count = Annotated[int | None, typer.Option(show_default=False)]


def plan(
    model: Model = None,
    hardware: Hardware = "h100",
    context: Context = 8192,
    answer: Answer = None,
    streams: Streams = 16,
    precision: Precision = None,
    kv_precision: KvPrecision = "bf16",
    price: Price = None,
    per_host: Annotated[int | None, typer.Option(help="Accelerators in a host.", show_default=False)] = None,
    tensor_parallel: Annotated[int | None, typer.Option(help="Parts of a layer.", show_default=False)] = None,
    pipeline_parallel: Annotated[int | None, typer.Option(help="Stages.", show_default=False)] = None,
    efficiency: Annotated[float, typer.Option(help="Share of the roofline that is reached.")] = 0.6,
    params: Annotated[float | None, typer.Option(help="Parameters, as 100e9.", show_default=False)] = None,
    active: Annotated[float | None, typer.Option(help="That a token uses.", show_default=False)] = None,
    layers: Count = None,
    hidden: Count = None,
    heads: Count = None,
    kv_heads: Count = None,
    head_dim: Count = None,
    vocabulary: Count = None,
    experts: Count = None,
    experts_used: Count = None,
    as_json: Json = False,
) -> None:
    """Say what a large model needs: memory, parallelism, network, time, cost a token.

    Stated arithmetic, no measurement; exit status 0 also for a plan that does not fit."""
    sizes = Sizes(params=params, active=active, layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads,
                  head_dim=head_dim, vocabulary=vocabulary, experts=experts, experts_used=experts_used)  # fmt: skip
    shape = find_shape(model, sizes)
    device, count = parse_hardware(hardware, measure)
    found = make_plan(
        Request(
            shape=shape,
            hardware=with_changes(device, price, per_host),
            count=count,
            context=context,
            answer=answer,
            streams=streams,
            precision=precision,
            kv_precision=kv_precision,
            tensor=tensor_parallel,
            pipeline=pipeline_parallel,
            efficiency=efficiency,
        )
    )
    show(msgspec.to_builtins(found), as_json, "\n".join(lines(found)))
