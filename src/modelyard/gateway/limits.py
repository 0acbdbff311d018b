"""What a caller may cost. One struct for all of it, so that tests can make every limit small."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds.

    buffered   request bodies held for all callers together; past it requests are answered 503
    pipeline   requests that one connection may send ahead of its answers; past it the connection ends
    tick       how often deadlines are looked at: they are kept to this precision

    Of what is passed on to control (`gateway.passing`):
    passed_body      the largest body; control has a limit of its own
    passed_rate      bytes a second that such a body must come with, once `body_seconds` have passed
    passed_requests  how many are on their way at once
    passed_seconds   for which control may be silent
    """

    url: int = 8 << 10
    headers: int = 16 << 10
    header_count: int = 100
    body: int = 64 << 20
    buffered: int = 256 << 20
    connections: int = 10_000
    pipeline: int = 64
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    write_seconds: float = 60.0
    linger_seconds: float = 2.0
    drain_seconds: float = 10.0
    tick: float = 0.1
    passed_body: int = 64 << 30
    passed_rate: int = 16 << 10
    passed_requests: int = 128
    passed_seconds: float = 120.0
