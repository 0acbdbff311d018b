"""The module of the net `seq2seq_transformer`. Imported by its `build` alone: torch is needed."""

import math

from modelyard.nets.attention import Block, Past, hidden_places, sinusoids
from modelyard.nets.contract import Decoding
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.nets.seq2seq import LENGTHS, Seq2SeqModule, Texts, present
from modelyard.nets.seq2seq_transformer import Seq2SeqTransformer
from modelyard.types.decoder import State


class TransformerModule(Seq2SeqModule):
    """Both languages' vectors and the output layer are one matrix (section 3.4)."""

    places: Tensor

    def __init__(self, config: Seq2SeqTransformer, texts: Texts) -> None:
        super().__init__(texts, config.label_smoothing)
        self.config = config
        self.tokens = nn.Embedding(texts.vocabulary, config.width)
        nn.init.normal_(self.tokens.weight, std=config.width**-0.5)
        longest = max(texts.source, texts.context)
        self.register_buffer("places", sinusoids(longest, config.width), persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = nn.ModuleList(self._block(across=False) for _ in range(config.layers))
        self.decoder = nn.ModuleList(self._block(across=True) for _ in range(config.layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)

    def _block(self, across: bool) -> Block:
        given = self.config
        return Block(given.width, given.heads, given.hidden, given.dropout, across)

    def forward(self, source: Tensor, tokens: Tensor) -> Tensor:
        lengths = self.lengths(source)
        memory = self.read(source, lengths)
        seen = present(lengths, source.shape[1])[:, None, None, :]
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.embedded(tokens, places)
        for block in self.blocks:
            hidden = block.decode(hidden, block.across.past(memory), seen)
        return self.logits(hidden)

    @property
    def blocks(self) -> list[Block]:
        """Of the decoder."""
        return [block for block in self.decoder if isinstance(block, Block)]

    def read(self, source: Tensor, lengths: Tensor) -> Tensor:
        """What the encoder makes of a source, [rows, n, width]."""
        seen = present(lengths, source.shape[1])[:, None, None, :]
        hidden = self.embedded(source, torch.arange(source.shape[1], device=source.device))
        for block in self.encoder:
            hidden = block(hidden, seen)
        found: Tensor = self.encoder_norm(hidden)
        return found

    def embedded(self, tokens: Tensor, places: Tensor) -> Tensor:
        """`places` [n] or [rows, n]."""
        found: Tensor = self.dropout(self.tokens(tokens) * math.sqrt(self.config.width) + self.places[places])
        return found

    def logits(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(self.decoder_norm(hidden), self.tokens.weight)

    def decoding(self) -> Decoding:
        heads, size = self.config.heads, self.config.width // self.config.heads
        state = [
            State(name=f"{kind}.{layer}", kind="appended", shape=(heads, -1, size))
            for layer in range(self.config.layers)
            for kind in ("keys", "values")
        ]
        memory = [
            State(name=f"memory_{kind}.{layer}", kind="constant", shape=(heads, -1, size))
            for layer in range(self.config.layers)
            for kind in ("keys", "values")
        ]
        return self.decoded(
            TransformerStep(self), TransformerEncode(self), (*state, LENGTHS, *memory), chunk=64
        )


class TransformerEncode(nn.Module):
    """See types.decoder: keys and values of the memory, of each of the decoder's layers."""

    def __init__(self, whole: TransformerModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, source: Tensor, source_lengths: Tensor) -> tuple[Tensor, ...]:
        memory = self.whole.read(source, source_lengths)
        pasts = [block.across.past(memory) for block in self.whole.blocks]
        return source_lengths + 0, *(part for past in pasts for part in past)


class TransformerStep(nn.Module):
    """See types.decoder."""

    def __init__(self, whole: TransformerModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, tokens: Tensor, lengths: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        count, layers = tokens.shape[1], len(self.whole.blocks)
        own, memory_lengths, memory = state[: 2 * layers], state[2 * layers], state[2 * layers + 1 :]
        places = lengths[:, None] + torch.arange(count, device=tokens.device)
        hidden = self.whole.embedded(tokens, places.clamp(max=self.whole.texts.context - 1))
        hide = hidden_places(lengths, own[0].shape[2], count)
        seen = present(memory_lengths, memory[0].shape[2])[:, None, None, :]
        new: list[Tensor] = []
        for number, block in enumerate(self.whole.blocks):
            past: Past = (own[2 * number], own[2 * number + 1])
            hidden, added = block.step(hidden, past, hide)
            hidden = block.crossed(hidden, (memory[2 * number], memory[2 * number + 1]), seen)
            hidden = block.fed(hidden)
            new += added
        return self.whole.logits(hidden), *new
