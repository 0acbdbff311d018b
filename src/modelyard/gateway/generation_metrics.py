"""Series of deployments whose models generate, under the names of vLLM's that dashboards read
(https://docs.vllm.ai, "Production Metrics")."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from modelyard.gateway.deployments import Deployment, Histogram

_HISTOGRAMS: Final = (
    ("vllm:time_to_first_token_seconds", "From a request's slot to its first token.", "first"),
    ("vllm:time_per_output_token_seconds", "A token, after the first.", "each"),
    ("vllm:e2e_request_latency_seconds", "From a request's slot to its whole answer.", "whole"),
)
_TOKENS: Final = (
    ("vllm:prompt_tokens_total", "Tokens of prompts.", "prompt"),
    ("vllm:prompt_tokens_cached_total", "Tokens of prompts that were not computed anew.", "cached"),
    ("vllm:generation_tokens_total", "Tokens generated.", "completion"),
)


def render(deployments: Sequence[Deployment]) -> list[str]:
    """Lines of the exposition."""
    there = [d for d in deployments if d.generates]
    meters = [(_labels(d, v.name), v.meter) for d in there for v in d.all_versions()]
    lines = _gauge(
        "vllm:num_requests_running", "Requests that have a slot.", ((d, d.lane.running) for d in there)
    )
    lines += _gauge(
        "vllm:num_requests_waiting", "Requests that wait for one.", ((d, d.lane.waiting) for d in there)
    )
    for name, text, field in _TOKENS:
        lines += _head(name, "counter", text)
        lines += [f"{name}{{{labels}}} {getattr(meter.tokens, field)}" for labels, meter in meters]
    for name, text, field in _HISTOGRAMS:
        lines += _head(name, "histogram", text)
        for labels, meter in meters:
            lines += _histogram(name, labels, getattr(meter, field))
    return lines


def _labels(deployment: Deployment, version: str) -> str:
    return f'model_name="{deployment.name}",version="{version}",tenant="{deployment.tenant}"'


def _gauge(name: str, text: str, values: Iterable[tuple[Deployment, int]]) -> list[str]:
    lines = _head(name, "gauge", text)
    return lines + [f'{name}{{model_name="{d.name}",tenant="{d.tenant}"}} {value}' for d, value in values]


def _histogram(name: str, labels: str, histogram: Histogram) -> list[str]:
    edges = (*(f"{edge:g}" for edge in histogram.edges), "+Inf")
    counts = list(accumulate(histogram.counts))
    lines = [
        f'{name}_bucket{{{labels},le="{edge}"}} {count}' for edge, count in zip(edges, counts, strict=True)
    ]
    return [*lines, f"{name}_sum{{{labels}}} {histogram.total:.6f}", f"{name}_count{{{labels}}} {counts[-1]}"]


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
