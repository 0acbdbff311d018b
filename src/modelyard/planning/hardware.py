"""Hardware: what one accelerator holds, reads and computes, how it speaks to others, and what an hour costs.

Figures of memory, bandwidth and dense FLOP/s are the vendors' (NVIDIA's data sheets print twice the dense FLOP/s,
with sparsity). Prices, networks of cards without their own, latencies and overheads are assumptions, and said to
be.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from modelyard.errors import InvalidInput, UnknownName

MOST: Final = 4096
"""Accelerators of a plan."""


class Hardware(Struct, frozen=True, kw_only=True):
    """One accelerator. Memory in bytes; bandwidths in bytes a second, links one way; latencies in seconds.

    flops      of dense matrices, by arithmetic: "fp32" (TF32 where there is that), "bf16", "fp8"
    per_host   how many stand in a host and speak over `link`; `network` is one accelerator's share between hosts
    overhead   bytes that the runtime takes besides weights and cache: context, graphs, buffers of the network
    price      an hour of one, in the currency of your choice
    """

    name: str
    memory: float
    bandwidth: float
    flops: dict[str, float]
    per_host: int
    link: float
    link_latency: float
    network: float
    network_latency: float = 20e-6
    overhead: float = 2e9
    price: float
    source: str
    assumed: str

    def arithmetic(self, wanted: str) -> tuple[str, float]:
        """The arithmetic that is used where `wanted` is, and its FLOP/s: what a device lacks is done in bf16."""
        kind = wanted if wanted in self.flops else "bf16"
        return kind, self.flops[kind]


_ASSUMED: Final = "price, latencies (10 us a collective within a host, 20 us between), 2 GB overhead"

_TABLE: Final = (
    Hardware(
        name="h100", memory=80e9, bandwidth=3.35e12, flops={"fp32": 494.5e12, "bf16": 989.5e12, "fp8": 1979e12},
        per_host=8, link=450e9, link_latency=10e-6, network=50e9, price=3.0,
        source="NVIDIA H100 data sheet (SXM5 80 GB, NVLink 900 GB/s both ways) and DGX H100 (a 400 Gb/s port each)",
        assumed=_ASSUMED,
    ),
    Hardware(
        name="h200", memory=141e9, bandwidth=4.8e12, flops={"fp32": 494.5e12, "bf16": 989.5e12, "fp8": 1979e12},
        per_host=8, link=450e9, link_latency=10e-6, network=50e9, price=4.0,
        source="NVIDIA H200 data sheet (SXM, NVLink 900 GB/s both ways) and DGX H200 (a 400 Gb/s port each)",
        assumed=_ASSUMED,
    ),
    Hardware(
        name="a100", memory=80e9, bandwidth=2.039e12, flops={"fp32": 156e12, "bf16": 312e12},
        per_host=8, link=300e9, link_latency=10e-6, network=25e9, price=1.8,
        source="NVIDIA A100 data sheet (SXM4 80 GB, NVLink 600 GB/s both ways) and DGX A100 (a 200 Gb/s port each)",
        assumed=_ASSUMED,
    ),
    Hardware(
        name="l40s", memory=48e9, bandwidth=864e9, flops={"fp32": 183e12, "bf16": 362.05e12, "fp8": 733e12},
        per_host=8, link=32e9, link_latency=30e-6, network=12.5e9, price=1.0,
        source="NVIDIA L40S data sheet (PCIe 4.0 x16, 64 GB/s both ways)",
        assumed="price, 100 Gb/s between hosts for each card, latencies (30 us a collective, 20 us), 2 GB overhead",
    ),
    Hardware(
        name="rtx4090", memory=24e9, bandwidth=1.008e12,
        flops={"fp32": 82.6e12, "bf16": 165.2e12, "fp8": 330.3e12},
        per_host=4, link=32e9, link_latency=30e-6, network=1.25e9, price=0.5,
        source="NVIDIA Ada GPU architecture whitepaper (accumulating in FP32; PCIe 4.0 x16, no peer to peer)",
        assumed="4 in a host, price, 10 Gb/s between hosts for each card, latencies (30 us a collective, 20 us), "
        "2 GB overhead",
    ),
)  # fmt: skip
HARDWARE: Final[dict[str, Hardware]] = {h.name: h for h in _TABLE}
"""By name; "cpu" is this machine, measured when it is asked for (`measuring.measure`)."""


def parse_hardware(text: str, measure: Callable[[], Hardware]) -> tuple[Hardware, int]:
    """ "h100", "h100x8" or "cpu" as a piece of hardware and how many there are.

    Raises UnknownName, and InvalidInput for a number that cannot be."""
    name, count = text.strip().lower(), 1
    found = re.fullmatch(r"(.+)x(\d{1,9})", name)
    if found and name not in HARDWARE:  # "rtx4090" is a name
        name, count = found[1], int(found[2])
    if name not in (*HARDWARE, "cpu"):
        raise UnknownName("hardware", name, (*HARDWARE, "cpu"))
    if not 1 <= count <= MOST:
        raise InvalidInput("not a number of accelerators", came=count, allowed=f"1 to {MOST:,}")
    if name == "cpu" and count > 1:
        raise InvalidInput("cpu is this machine, of which there is one", came=text, allowed="cpu")
    return (measure() if name == "cpu" else HARDWARE[name]), count


def with_changes(hardware: Hardware, price: float | None, per_host: int | None) -> Hardware:
    """The same with another price or another host. Raises InvalidInput."""
    if price is not None and not 0 <= price < 1e9:
        raise InvalidInput("not a price of an hour", came=price, allowed="0 or more")
    if per_host is not None and not 1 <= per_host <= 64:
        raise InvalidInput("not a number of accelerators in a host", came=per_host, allowed="1 to 64")
    return replace(
        hardware,
        price=hardware.price if price is None else price,
        per_host=hardware.per_host if per_host is None else per_host,
    )
