"""Attention, and the blocks of nets that answer step by step. Imported by `build` functions only: torch is needed.

Vaswani et al. 2017, Attention is all you need, section 3. Each part is normalised before it and not after (Xiong et
al. 2020, On layer normalization in the transformer architecture), which needs no long warm-up.
"""

import math

from modelyard.nets.layers import Tensor, nn, torch

functional = nn.functional
Past = tuple[Tensor, Tensor]
"""Keys and values, each [rows, heads, places, size]."""


class Attention(nn.Module):
    """Several heads of scaled dot products (section 3.2), each `width / heads` wide."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, hidden: Tensor, seen: Tensor | None = None, causal: bool = False) -> Tensor:
        """Of [rows, n, width] itself. `seen` bool [rows, 1, 1, n] is what may be looked at; `causal`: nothing that
        comes later."""
        return self._joined(self._found(hidden, self.past(hidden), seen, causal))

    def across(self, hidden: Tensor, memory: Past, seen: Tensor) -> Tensor:
        """Of what another sequence left, with `seen` bool [rows, 1, 1, places]."""
        return self._joined(self._found(hidden, memory, seen, False))

    def past(self, hidden: Tensor) -> Past:
        """Keys and values of [rows, n, width]."""
        return self._parted(self.key(hidden)), self._parted(self.value(hidden))

    def step(self, hidden: Tensor, past: Past, hide: Tensor) -> tuple[Tensor, Past]:
        """Some more tokens [rows, n, width] after those of `past`; the answer, and their own keys and values.

        Args:
            hide: bool [rows, 1, n, places + n], what each may not look at.
        """
        query, (keys, values) = self._parted(self.query(hidden)), self.past(hidden)
        scores = [query @ one.transpose(2, 3) for one in (past[0], keys)]
        scaled = torch.cat(scores, dim=3) / math.sqrt(query.shape[3])
        weights = scaled.masked_fill(hide, -math.inf).softmax(dim=3)
        places = past[0].shape[2]
        found = weights[..., :places] @ past[1] + weights[..., places:] @ values
        return self._joined(found), (keys, values)

    def _found(self, hidden: Tensor, past: Past, seen: Tensor | None, causal: bool) -> Tensor:
        return functional.scaled_dot_product_attention(
            self._parted(self.query(hidden)),
            *past,
            attn_mask=seen,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )

    def _parted(self, hidden: Tensor) -> Tensor:
        """[rows, n, width] to [rows, heads, n, size]."""
        rows, count, width = hidden.shape
        return hidden.view(rows, count, self.heads, width // self.heads).transpose(1, 2)

    def _joined(self, found: Tensor) -> Tensor:
        joined: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return joined


class FeedForward(nn.Module):
    """Section 3.3, with GELU in the place of ReLU (Hendrycks and Gimpel 2016, its approximation by tanh)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.out(functional.gelu(self.into(hidden), approximate="tanh"))
        return found


class Block(nn.Module):
    """Attention and feed-forward, each added to what came; a decoder's looks across at a memory between them."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, across: bool = False) -> None:
        super().__init__()
        self.before_attention, self.before_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.feed = Attention(width, heads, dropout), FeedForward(width, hidden)
        self.dropout = nn.Dropout(dropout)
        if across:
            self.before_across, self.across = nn.LayerNorm(width), Attention(width, heads, dropout)

    def forward(self, hidden: Tensor, seen: Tensor | None = None, causal: bool = False) -> Tensor:
        """[rows, n, width]."""
        hidden = hidden + self.dropout(self.attention(self.before_attention(hidden), seen, causal))
        return self.fed(hidden)

    def decode(self, hidden: Tensor, memory: Past, seen: Tensor) -> Tensor:
        """A decoder's, of all places at a time."""
        hidden = hidden + self.dropout(self.attention(self.before_attention(hidden), causal=True))
        return self.fed(self.crossed(hidden, memory, seen))

    def step(self, hidden: Tensor, past: Past, hide: Tensor) -> tuple[Tensor, Past]:
        """The first part of it, of some more places; see `Attention.step`."""
        found, new = self.attention.step(self.before_attention(hidden), past, hide)
        return hidden + found, new

    def crossed(self, hidden: Tensor, memory: Past, seen: Tensor) -> Tensor:
        found: Tensor = self.dropout(self.across.across(self.before_across(hidden), memory, seen))
        return hidden + found

    def fed(self, hidden: Tensor) -> Tensor:
        added: Tensor = self.dropout(self.feed(self.before_feed(hidden)))
        return hidden + added


def hidden_places(lengths: Tensor, places: int, count: int) -> Tensor:
    """What `count` more tokens of rows that hold `lengths` [rows] of `places` may not look at, bool
    [rows, 1, count, places + count]: what a row does not hold, and what comes after."""
    unused = torch.arange(places, device=lengths.device) >= lengths[:, None]
    later = torch.ones(count, count, dtype=torch.bool, device=lengths.device).triu(1)
    rows = lengths.shape[0]
    return torch.cat(
        [unused[:, None, None, :].expand(rows, 1, count, places), later.expand(rows, 1, count, count)], dim=3
    )


def sinusoids(places: int, width: int) -> Tensor:
    """Section 3.5, float32 [places, width]; an even width."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(places).unsqueeze(1) * rates
    found: Tensor = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return found
