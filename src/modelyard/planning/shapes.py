"""Shape: what of a transformer decides its memory and its time, and the published shapes of well-known ones."""

from typing import Final

from msgspec import Struct

from modelyard.errors import InvalidInput
from modelyard.planning.architecture import Architecture, experts_of, parameters_of


class Shape(Struct, frozen=True, kw_only=True):
    """A decoder with grouped-query attention, dense or a mixture of experts.

    parameters   all of them; `expert_parameters` of them are in experts, `looked_up` in an embedding of which a
                 token reads one row, the rest is used by every token
    experts      of a layer, `experts_used` of them by a token; 0 and 0 where it is dense
    inner        width of the feed-forward part that one token passes (of its experts together)
    window       tokens that a layer of `windowed` ones looks back on; the others look back on all
    stored       bytes of the weights as they lie in the file, where that is known
    precision    of the weights as they are published
    longest      most tokens of a sequence; 0 where it is not known
    """

    name: str
    parameters: float
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int = 128_000
    inner: int
    looked_up: float = 0.0
    expert_parameters: float = 0.0
    experts: int = 0
    experts_used: int = 0
    window: int = 0
    windowed: int = 0
    stored: float | None = None
    precision: str = "bf16"
    longest: int = 0
    source: str = "as given"

    def __post_init__(self) -> None:
        counts = ("layers", "hidden", "heads", "kv_heads", "head_dim", "vocabulary", "inner")
        for name in counts:
            if getattr(self, name) < 1:
                raise InvalidInput(
                    f"a model has no such {name}", came=getattr(self, name), allowed="1 or more"
                )
        if not self.parameters > 0 or self.parameters > 1e15:
            raise InvalidInput("a model has no such number of parameters", came=f"{self.parameters:g}",
                               allowed="more than 0, at most 1e15")  # fmt: skip
        if self.heads % self.kv_heads:
            raise InvalidInput("heads are no multiple of the KV heads", came=f"{self.heads}, {self.kv_heads}")
        if not 0 <= self.experts_used <= self.experts or (self.experts > 0) != (self.experts_used > 0):
            raise InvalidInput(
                "a token cannot use so many experts", came=f"{self.experts_used} of {self.experts}"
            )
        if not 0 <= self.expert_parameters + self.looked_up <= self.parameters:
            raise InvalidInput("a part of a model cannot have more parameters than the whole",
                               came=f"{self.expert_parameters + self.looked_up:g}",
                               allowed=f"{self.parameters:g}")  # fmt: skip

    @property
    def shared(self) -> float:
        """Parameters that every token uses."""
        return self.parameters - self.expert_parameters - self.looked_up

    @property
    def active(self) -> float:
        """Parameters that one token uses."""
        return self.shared + self.touched(1)

    def touched(self, tokens: float) -> float:
        """Expert parameters that a step of `tokens` tokens reads, where each token draws its k of E experts evenly:
        an expert is left alone with probability (1 - k/E)^tokens."""
        if self.experts == 0:
            return 0.0
        left = (1 - self.experts_used / self.experts) ** tokens
        return float(self.expert_parameters * (1 - left))

    def remembered(self, context: int) -> float:
        """Sum over the layers of the tokens that each one remembers of a sequence of `context`."""
        full = self.layers - self.windowed
        return full * context + self.windowed * min(context, self.window)


def shape_of(architecture: Architecture) -> Shape:
    """The shape with its parameters counted (`architecture.parameters_of`)."""
    a = architecture
    return Shape(
        name=a.name,
        parameters=parameters_of(a),
        layers=a.layers,
        hidden=a.hidden,
        heads=a.heads,
        kv_heads=a.kv_heads,
        head_dim=a.head_dim,
        vocabulary=a.vocabulary,
        inner=a.inner * max(a.experts_used, 1),
        looked_up=0 if a.tied else a.vocabulary * a.hidden,
        expert_parameters=experts_of(a),
        experts=a.experts,
        experts_used=a.experts_used,
        window=a.window,
        windowed=a.windowed,
        precision=a.precision,
        longest=a.longest,
        source=a.source,
    )


def _llama(name: str, layers: int, hidden: int, heads: int, inner: int) -> Architecture:
    return Architecture(name=name, layers=layers, hidden=hidden, heads=heads, kv_heads=8, head_dim=128, inner=inner,
                        vocabulary=128_256, longest=131_072,
                        source="The Llama 3 Herd of Models (arXiv:2407.21783), table 3; config.json")  # fmt: skip


def _qwen(name: str, layers: int, hidden: int, heads: int, kv_heads: int, inner: int, vocabulary: int,
          longest: int, tied: bool = False) -> Architecture:  # fmt: skip
    return Architecture(name=name, layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads,
                        head_dim=hidden // heads, inner=inner, vocabulary=vocabulary, longest=longest, tied=tied,
                        qkv_bias=True,
                        source="Qwen2.5 Technical Report (arXiv:2412.15115); config.json")  # fmt: skip


def _gpt_oss(name: str, layers: int, experts: int) -> Architecture:
    return Architecture(name=name, layers=layers, hidden=2880, heads=64, kv_heads=8, head_dim=64, inner=2880,
                        vocabulary=201_088, longest=131_072, experts=experts, experts_used=4, qkv_bias=True,
                        output_bias=True, inner_bias=True, router_bias=True, sinks=True, window=128,
                        windowed=layers // 2, precision="mxfp4",
                        source="gpt-oss model card (arXiv:2508.10925), and config.json")  # fmt: skip


_PUBLISHED: Final = (
    _llama("llama-3.1-8b", 32, 4096, 32, 14_336),
    _llama("llama-3.1-70b", 80, 8192, 64, 28_672),
    _llama("llama-3.1-405b", 126, 16_384, 128, 53_248),
    _qwen("qwen2.5-0.5b", 24, 896, 14, 2, 4864, 151_936, 32_768, tied=True),
    _qwen("qwen2.5-7b", 28, 3584, 28, 4, 18_944, 152_064, 32_768),
    _qwen("qwen2.5-14b", 48, 5120, 40, 8, 13_824, 152_064, 32_768),
    _qwen("qwen2.5-32b", 64, 5120, 40, 8, 27_648, 152_064, 32_768),
    _qwen("qwen2.5-72b", 80, 8192, 64, 8, 29_568, 152_064, 32_768),
    Architecture(name="mistral-7b-v0.3", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, inner=14_336,
                 vocabulary=32_768, longest=32_768, source="Mistral 7B (arXiv:2310.06825); config.json of v0.3"),
    Architecture(name="mixtral-8x7b", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, inner=14_336,
                 vocabulary=32_000, longest=32_768, experts=8, experts_used=2,
                 source="Mixtral of Experts (arXiv:2401.04088), table 1, and config.json"),
    _gpt_oss("gpt-oss-20b", 24, 32),
    _gpt_oss("gpt-oss-120b", 36, 128),
    Architecture(name="gemma-3-270m", layers=18, hidden=640, heads=4, kv_heads=1, head_dim=256, inner=2048,
                 vocabulary=262_144, longest=32_768, tied=True, qk_norms=True, layer_norms=4, window=512,
                 windowed=15, source="Gemma 3 (arXiv:2503.19786), and config.json of google/gemma-3-270m"),
)  # fmt: skip
KNOWN: Final[dict[str, Shape]] = {a.name: shape_of(a) for a in _PUBLISHED}
"""By name. The numbers are those of the configuration that each one was published with; parameters are counted."""
