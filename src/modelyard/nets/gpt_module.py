"""The module of the net `gpt`. Imported by its `build` alone: torch is needed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelyard.nets.attention import Block, hidden_places
from modelyard.nets.contract import Decoding
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.types.decoder import State

_STD: Final = 0.02
_EVALUATED: Final = 16  # rows whose logits are computed at a time, outside of training


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """`gpt.Gpt`, and of the data: `vocabulary` tokens, windows of `context`, and `start`, which begins and ends a
    text."""

    layers: int
    width: int
    heads: int
    dropout: float
    vocabulary: int
    context: int
    start: int


class GptModule(nn.Module):
    """See `gpt`."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        self.places = nn.Embedding(sizes.context, sizes.width)
        self.dropout = nn.Dropout(sizes.dropout)
        self.blocks = nn.ModuleList(
            Block(sizes.width, sizes.heads, 4 * sizes.width, sizes.dropout) for _ in range(sizes.layers)
        )
        self.norm = nn.LayerNorm(sizes.width)
        for name, weights in self.named_parameters():
            if weights.ndim > 1:
                added = name.endswith(".out.weight")
                nn.init.normal_(weights, std=_STD / (math.sqrt(2 * sizes.layers) if added else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(weights)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Logits [rows, n, vocabulary] of each token's next."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        hidden = self.dropout(self.tokens(input_ids) + self.places(places))
        for block in self.blocks:
            hidden = block(hidden, causal=True)
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Of what the last block gives."""
        return nn.functional.linear(self.norm(hidden), self.tokens.weight)

    def loss(
        self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], player: str = ""
    ) -> dict[str, Tensor]:
        """Nats a token."""
        ids, due = inputs["input_ids"], targets["next"]
        some = len(ids) if self.training else _EVALUATED
        sums = [
            nn.functional.cross_entropy(self(a).flatten(0, 1).float(), b.flatten(), reduction="sum")
            for a, b in zip(torch.split(ids, some), torch.split(due, some), strict=True)
        ]
        return {"loss": torch.stack(sums).sum() / due.numel()}

    def decoding(self) -> Decoding:
        sizes = self.sizes
        state = tuple(
            State(
                name=f"{kind}.{layer}", kind="appended", shape=(sizes.heads, -1, sizes.width // sizes.heads)
            )
            for layer in range(sizes.layers)
            for kind in ("keys", "values")
        )
        return Decoding(
            step=GptStep(self),
            state=state,
            context=sizes.context,
            vocabulary=sizes.vocabulary,
            start=sizes.start,
            ends=(sizes.start,),
        )

    def hugging_face(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and weights of transformers' GPT2LMHeadModel."""
        named = renamed(self.state_dict(), self.sizes.layers)
        return configuration(self.sizes), {n: t.detach().cpu().contiguous().clone() for n, t in named.items()}


class GptStep(nn.Module):
    """One step of it, as types.decoder says."""

    def __init__(self, whole: GptModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, tokens: Tensor, lengths: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        count = tokens.shape[1]
        places = lengths[:, None] + torch.arange(count, device=tokens.device)
        hidden = self.whole.tokens(tokens) + self.whole.places(places.clamp(max=self.whole.sizes.context - 1))
        hide = hidden_places(lengths, past[0].shape[2], count)
        new: list[Tensor] = []
        for number, block in enumerate(self.whole.blocks):
            assert isinstance(block, Block)
            hidden, added = block.step(hidden, (past[2 * number], past[2 * number + 1]), hide)
            hidden = block.fed(hidden)
            new += added
        return self.whole.logits(hidden), *new


def configuration(sizes: Sizes) -> dict[str, Any]:
    """transformers' GPT2Config."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": sizes.vocabulary,
        "n_positions": sizes.context,
        "n_embd": sizes.width,
        "n_layer": sizes.layers,
        "n_head": sizes.heads,
        "activation_function": "gelu_new",
        "embd_pdrop": sizes.dropout,
        "attn_pdrop": sizes.dropout,
        "resid_pdrop": sizes.dropout,
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": sizes.start,
        "eos_token_id": sizes.start,
        "pad_token_id": sizes.start,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def renamed(own: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """GPT-2 keeps weights as [in, out], and those of queries, keys and values side by side."""
    named = {
        "transformer.wte.weight": own["tokens.weight"],
        "transformer.wpe.weight": own["places.weight"],
        "transformer.ln_f.weight": own["norm.weight"],
        "transformer.ln_f.bias": own["norm.bias"],
    }
    for layer in range(layers):
        here, there = f"blocks.{layer}.", f"transformer.h.{layer}."
        for kind in ("weight", "bias"):
            parts = [own[f"{here}attention.{part}.{kind}"] for part in ("query", "key", "value")]
            found = {
                "ln_1": own[f"{here}before_attention.{kind}"],
                "ln_2": own[f"{here}before_feed.{kind}"],
                "attn.c_attn": torch.cat(parts),
                "attn.c_proj": own[f"{here}attention.out.{kind}"],
                "mlp.c_fc": own[f"{here}feed.into.{kind}"],
                "mlp.c_proj": own[f"{here}feed.out.{kind}"],
            }
            named |= {f"{there}{name}.{kind}": t.t() if t.ndim > 1 else t for name, t in found.items()}
    return named
