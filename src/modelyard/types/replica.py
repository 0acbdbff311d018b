"""What a replica says of itself to those that connect to it."""

from msgspec import Struct

from modelyard.types.tensor import Signature


class Hello(Struct, frozen=True, kw_only=True):
    """The first frame on every connection; who gets it may send requests at once.

    name        the deployment's
    version     of the model, as the deployment's owner numbers it
    digest      the package's, hex sha256
    platform    what executes it, as "onnx"
    slots       sequences that it generates at a time; 0 where it runs batches: then it takes any number of requests
    context     most tokens of a sequence, prompt and answer together
    prefill     tokens of a prompt that it reads in a second, as measured when it was loaded; 0: unknown
    """

    protocol: int = 1
    name: str
    version: str
    digest: str
    task: str
    platform: str
    signature: Signature
    labels: tuple[str, ...] = ()
    slots: int = 0
    context: int = 0
    prefill: float = 0.0


class Statistics(Struct, frozen=True, kw_only=True):
    """What a replica counted since it started; nothing ever falls. Times are nanoseconds.

    started_ns  when it started, of the wall clock; tells one process from the next
    requests    answered, `failures` of them with an error
    rows        that went through the model, in `batches` runs of it
    queue_ns    from a request's arrival to its parsing, summed over requests
    compute_ns  inside the model, summed over batches

    Of those that generate: `prompt_tokens`, `cached_tokens` of them not computed anew, `completion_tokens`.
    """

    started_ns: int = 0
    requests: int = 0
    failures: int = 0
    rows: int = 0
    batches: int = 0
    queue_ns: int = 0
    compute_ns: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
