"""GET /metrics: Prometheus text (exposition format 0.0.4) of what was counted anyway."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from modelyard.gateway import generation_metrics
from modelyard.gateway.answers import Answers
from modelyard.gateway.deployments import BUCKETS, Deployment, Meter

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ASK_SECONDS: Final = 0.5


class _Row(NamedTuple):
    """One version of one deployment. `ready` and `outstanding` are over its replicas."""

    labels: str
    triton: str
    meter: Meter
    ready: int
    outstanding: int


class Counts(NamedTuple):
    """Of the whole gateway: requests refused by code, predictions under way, answers that were kept or shared."""

    refused: dict[str, int]
    in_flight: int
    answers: Answers


async def render(deployments: Sequence[Deployment], counts: Counts | None) -> bytes:
    """The series of these deployments, and of the gateway where its counts are given. Replicas are asked for
    theirs, for half a second at most; one that is silent keeps its last."""
    await _ask(deployments)
    rows = list(_rows(deployments))
    lines = _own(rows)
    lines += _gateway(counts) if counts is not None else []
    lines += _triton(rows)
    lines += generation_metrics.render(deployments)
    return ("\n".join(lines) + "\n").encode()


async def _ask(deployments: Sequence[Deployment]) -> None:
    lines = [line for deployment in deployments for line in deployment.lines]
    asked = [line.link.count() for line in lines if line.link is not None and line.link.usable]
    if asked:
        await asyncio.wait(asked, timeout=_ASK_SECONDS)


def _gateway(counts: Counts) -> list[str]:
    name = "modelyard_requests_refused_total"
    lines = _series(name, "counter", "Answered with an error, by code.")
    lines += [f'{name}{{code="{code}"}} {n}' for code, n in sorted(counts.refused.items())]
    lines += _series("modelyard_requests_in_flight", "gauge", "Predictions under way.")
    lines.append(f"modelyard_requests_in_flight {counts.in_flight}")
    for name, text, value in (
        ("modelyard_answers_from_cache_total", "Answers that were kept.", counts.answers.hits),
        ("modelyard_answers_joined_total", "Requests that read along with another.", counts.answers.joined),
    ):
        lines += [*_series(name, "counter", text), f"{name} {value}"]
    return lines


def _rows(deployments: Sequence[Deployment]) -> Iterable[_Row]:
    for deployment in deployments:
        for version in deployment.all_versions():
            for line in version.lines:
                version.meter.learn(line)
            links = [line.link for line in version.lines if line.link is not None]
            names = f'model="{deployment.name}",version="{version.name}"'
            yield _Row(
                f'tenant="{deployment.tenant}",{names}',
                names,
                version.meter,
                sum(link.usable for link in links),
                sum(link.outstanding for link in links),
            )


def _own(rows: list[_Row]) -> list[str]:
    name = "modelyard_requests_total"
    lines = _series(name, "counter", "Predictions answered, by status.")
    for row in rows:
        for status, count in sorted(row.meter.statuses.items()):
            lines.append(f'{name}{{{row.labels},status="{status}"}} {count}')
    lines += _histogram(rows)
    for name, kind, text, value in _OWN:
        lines += _series(name, kind, text)
        lines += [f"{name}{{{row.labels}}} {value(row)}" for row in rows]
    return lines


def _histogram(rows: list[_Row]) -> list[str]:
    name = "modelyard_request_duration_seconds"
    lines = _series(name, "histogram", "From the whole request to its answer.")
    for row in rows:
        total = sum(row.meter.buckets)
        edges = (*(f"{edge:g}" for edge in BUCKETS), "+Inf")
        for edge, count in zip(edges, accumulate(row.meter.buckets), strict=True):
            lines.append(f'{name}_bucket{{{row.labels},le="{edge}"}} {count}')
        lines.append(f"{name}_sum{{{row.labels}}} {row.meter.seconds:.6f}")
        lines.append(f"{name}_count{{{row.labels}}} {total}")
    return lines


def _triton(rows: list[_Row]) -> list[str]:
    lines: list[str] = []
    for name, text, value in _TRITON:
        lines += _series(name, "counter", text)
        lines += [f"{name}{{{row.triton}}} {value(row.meter)}" for row in rows]
    return lines


def _series(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


_OWN: Final[tuple[tuple[str, str, str, Callable[[_Row], float]], ...]] = (
    ("modelyard_replicas_ready", "gauge", "Replicas that can be asked.", lambda r: r.ready),
    (
        "modelyard_replica_requests_outstanding",
        "gauge",
        "Requests that replicas have.",
        lambda r: r.outstanding,
    ),
    ("modelyard_rows_total", "counter", "Rows through the model.", lambda r: r.meter.replicas["rows"]),
    ("modelyard_batches_total", "counter", "Runs of the model.", lambda r: r.meter.replicas["batches"]),
    (
        "modelyard_compute_seconds_total",
        "counter",
        "Time inside the model.",
        lambda r: r.meter.replicas["compute_ns"] / 1e9,
    ),
    (
        "modelyard_queue_seconds_total",
        "counter",
        "Time requests waited in replicas.",
        lambda r: r.meter.replicas["queue_ns"] / 1e9,
    ),
)

_TRITON: Final[tuple[tuple[str, str, Callable[[Meter], int]], ...]] = (
    ("nv_inference_request_success", "Requests answered.", lambda m: m.successes),
    ("nv_inference_request_failure", "Requests failed.", lambda m: m.failures),
    ("nv_inference_count", "Rows through the model.", lambda m: m.replicas["rows"]),
    ("nv_inference_exec_count", "Runs of the model.", lambda m: m.replicas["batches"]),
    ("nv_inference_request_duration_us", "Request time.", lambda m: int(m.seconds * 1e6)),
    ("nv_inference_queue_duration_us", "Queue time.", lambda m: m.replicas["queue_ns"] // 1000),
    ("nv_inference_compute_infer_duration_us", "Model time.", lambda m: m.replicas["compute_ns"] // 1000),
)
