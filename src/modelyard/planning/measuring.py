"""Measuring this machine's processor: about a second of work, with NumPy."""

import time
from collections.abc import Callable
from typing import Final

from modelyard.planning.hardware import Hardware

_BYTES: Final = 128 << 20  # past any cache
_SIDE: Final = 1024
_TRIES: Final = 3


def measure() -> Hardware:
    """This machine as one "accelerator": all of its memory, the bandwidth of a copy (bytes read and written, as
    STREAM counts them), and the float32 FLOP/s of a matrix product (2 n^3), each the best of three."""
    import numpy as np
    import psutil

    source, target = np.ones(_BYTES, np.uint8), np.empty(_BYTES, np.uint8)
    bandwidth = 2 * _BYTES / _best(lambda: np.copyto(target, source))
    matrix = np.ones((_SIDE, _SIDE), np.float32)
    flops = 2 * _SIDE**3 / _best(lambda: matrix @ matrix)
    return Hardware(
        name="cpu",
        memory=float(psutil.virtual_memory().total),
        bandwidth=bandwidth,
        flops={"fp32": flops, "bf16": flops},
        per_host=1,
        link=bandwidth,
        link_latency=0.0,
        network=1.25e9,
        overhead=0.5e9,
        price=0.05 * (psutil.cpu_count() or 1),
        source=f"measured now on {psutil.cpu_count()} processors: a copy of {_BYTES >> 20} MiB, a float32 product",
        assumed="price (0.05 a processor), bf16 as fast as float32, 0.5 GB overhead",
    )


def _best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few tries; the first touches the memory."""
    work()
    found = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return max(min(found), 1e-9)
