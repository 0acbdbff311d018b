"""Architecture: a decoder as its configuration describes it, and how many parameters that makes."""

from msgspec import Struct


class Architecture(Struct, frozen=True, kw_only=True):
    """Pre-normed decoder layers: attention with grouped KV heads, then a gated feed-forward part (SwiGLU, GeGLU).

    inner         width of the feed-forward part, or of one expert
    tied          the embedding is the output's matrix too
    layer_norms   norms of a layer over the hidden width; `qk_norms`: over each head's queries and keys besides
    sinks         a learned logit for each head that attends to nothing (gpt-oss)
    precision     of the published weights
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocabulary: int
    experts: int = 0
    experts_used: int = 0
    tied: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    inner_bias: bool = False
    router_bias: bool = False
    qk_norms: bool = False
    sinks: bool = False
    layer_norms: int = 2
    window: int = 0
    windowed: int = 0
    precision: str = "bf16"
    longest: int = 0
    source: str = "as given"


def parameters_of(a: Architecture) -> int:
    """Embeddings V h (twice where they are not tied), the last norm, and for each layer its attention
    (h d (heads + 2 kv) + heads d h), its feed-forward part or router and experts (3 h f each), and its norms."""
    embeddings = a.vocabulary * a.hidden * (1 if a.tied else 2)
    layer = _attention(a) + a.layer_norms * a.hidden
    if a.experts:
        layer += a.hidden * a.experts + (a.experts if a.router_bias else 0)
    else:
        layer += _feed_forward(a)
    return int(embeddings + a.layers * layer + a.hidden + experts_of(a))


def experts_of(a: Architecture) -> int:
    """Parameters in experts, of all layers."""
    return a.layers * a.experts * _feed_forward(a)


def _attention(a: Architecture) -> int:
    queries, keys = a.heads * a.head_dim, a.kv_heads * a.head_dim
    count = a.hidden * (queries + 2 * keys) + queries * a.hidden
    count += queries + 2 * keys if a.qkv_bias else 0
    count += a.hidden if a.output_bias else 0
    count += 2 * a.head_dim if a.qk_norms else 0
    return count + (a.heads if a.sinks else 0)


def _feed_forward(a: Architecture) -> int:
    """Gate, up and down."""
    return 3 * a.hidden * a.inner + (2 * a.inner + a.hidden if a.inner_bias else 0)
