"""The module of `minilm`. Imported by its `build` only: torch is needed."""

from collections.abc import Iterator
from typing import Final

from modelyard.nets import tokens
from modelyard.nets.attention import Attention
from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn
from modelyard.nets.minilm import LAYERS, PLACES, WORDS
from modelyard.tasks.vocabulary import minilm_folder

_WIDTH: Final = 384
_HEADS: Final = 12
_HIDDEN: Final = 1536
_EPSILON: Final = 1e-12  # of normalisation
_PARTS: Final = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "after_attention": "attention.output.LayerNorm",
    "into": "intermediate.dense",
    "out": "output.dense",
    "after_feed": "output.LayerNorm",
}
"""Ours: theirs, of one layer."""


class MiniLM(nn.Module):
    """Tokens int64 [rows, n] and their mask to logits [rows, classes], by the mean over what is no padding, as the
    weights were trained to be read."""

    def __init__(self, shape: Shape, *, pretrained: bool, trained_layers: int, dropout: float) -> None:
        super().__init__()
        self._pretrained = pretrained
        self.words, self.places = nn.Embedding(WORDS, _WIDTH), nn.Embedding(PLACES, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.layers = nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(_WIDTH, shape.values)
        if trained_layers < LAYERS:
            for part in (self.words, self.places, self.norm, *self.layers[: LAYERS - trained_layers]):
                part.requires_grad_(False)

    def begin(self) -> None:
        """See `contract.Own`."""
        if self._pretrained:
            self.load_state_dict(dict(_renamed()), strict=False)  # all but the classifier

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.dropout(self.norm(self.words(input_ids) + self.places.weight[: input_ids.shape[1]]))
        seen = (attention_mask > 0)[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, seen)
        logits: Tensor = self.last(self.dropout(tokens.mean_of(hidden, attention_mask)))
        return logits


class Layer(nn.Module):
    """Normalised after each part, as BERT is, with its GELU that is exact."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(_WIDTH, _HEADS, dropout)
        self.into, self.out = nn.Linear(_WIDTH, _HIDDEN), nn.Linear(_HIDDEN, _WIDTH)
        self.after_attention = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.after_feed = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, seen: Tensor) -> Tensor:
        hidden = self.after_attention(hidden + self.dropout(self.attention(hidden, seen)))
        fed = self.out(nn.functional.gelu(self.into(hidden)))
        found: Tensor = self.after_feed(hidden + self.dropout(fed))
        return found


def _renamed() -> Iterator[tuple[str, Tensor]]:
    """MiniLM's tensors by the names that they have here. Raises MissingExtra."""
    from safetensors.torch import load_file

    theirs = load_file(minilm_folder() / "model.safetensors")
    yield "words.weight", theirs["embeddings.word_embeddings.weight"]
    # Which of two sentences a token is of: there is one here, so its vector joins those of the places.
    kind = theirs["embeddings.token_type_embeddings.weight"][0]
    yield "places.weight", theirs["embeddings.position_embeddings.weight"] + kind
    for end in ("weight", "bias"):
        yield f"norm.{end}", theirs[f"embeddings.LayerNorm.{end}"]
        for number in range(LAYERS):
            for ours, their in _PARTS.items():
                yield f"layers.{number}.{ours}.{end}", theirs[f"encoder.layer.{number}.{their}.{end}"]
