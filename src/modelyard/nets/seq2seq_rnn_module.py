"""The module of the net `seq2seq_rnn`. Imported by its `build` alone: torch is needed."""

import math

from modelyard.nets.contract import Decoding
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.nets.seq2seq import LENGTHS, Seq2SeqModule, Texts, present
from modelyard.nets.seq2seq_rnn import Seq2SeqRnn
from modelyard.types.decoder import State


class RnnModule(Seq2SeqModule):
    """Gated units (Cho et al. 2014) both ways over the source (section 3.2), and attention to what they leave
    (section 3.1); one matrix of vectors, and as output layer again where widths allow."""

    def __init__(self, config: Seq2SeqRnn, texts: Texts) -> None:
        super().__init__(texts, config.label_smoothing)
        self.config = config
        self.tokens = nn.Embedding(texts.vocabulary, config.vectors)
        nn.init.normal_(self.tokens.weight, std=config.vectors**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.onward = nn.GRU(config.vectors, config.units, batch_first=True)
        self.backward_ = nn.GRU(config.vectors, config.units, batch_first=True)
        self.begin_ = nn.Linear(config.units, config.units)
        self.of_memory = nn.Linear(2 * config.units, config.attention)
        self.of_hidden = nn.Linear(config.units, config.attention, bias=False)
        self.score = nn.Linear(config.attention, 1, bias=False)
        self.cell = nn.GRUCell(config.vectors + 2 * config.units, config.units)
        self.narrow = nn.Linear(config.vectors + 3 * config.units, config.vectors)

    def forward(self, source: Tensor, tokens: Tensor) -> Tensor:
        lengths = self.lengths(source)
        memory, keys, hidden = self.read(source, lengths)
        missing = ~present(lengths, source.shape[1])
        given = self.embedded(tokens)
        read: list[Tensor] = []
        for place in range(tokens.shape[1]):
            context = self.looked(hidden, memory, keys, missing)
            hidden = self.cell(torch.cat([given[:, place], context], dim=1), hidden)
            read.append(torch.cat([given[:, place], hidden, context], dim=1))
        return self.logits(torch.stack(read, dim=1))

    def read(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is looked at [rows, n, 2 units], that for comparing [rows, n, attention], and the decoder's first
        state [rows, units]."""
        given = self.embedded(source)
        back = _reversed(lengths, source.shape[1])
        onward, _ = self.onward(given)
        against, _ = self.backward_(_gathered(given, back))
        against = _gathered(against, back)
        memory = torch.cat([onward, against], dim=2)
        return memory, self.of_memory(memory), torch.tanh(self.begin_(against[:, 0]))

    def looked(self, hidden: Tensor, memory: Tensor, keys: Tensor, missing: Tensor) -> Tensor:
        """The memory's mean, weighted by how it suits the state [rows, 2 units]."""
        scores = self.score(torch.tanh(keys + self.of_hidden(hidden)[:, None])).squeeze(2)
        weights = scores.masked_fill(missing, -math.inf).softmax(dim=1)
        found: Tensor = (weights[:, None] @ memory).squeeze(1)
        return found

    def embedded(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.dropout(self.tokens(tokens) * math.sqrt(self.config.vectors))
        return found

    def logits(self, read: Tensor) -> Tensor:
        narrow = self.dropout(torch.tanh(self.narrow(read)))
        return nn.functional.linear(narrow, self.tokens.weight)

    def decoding(self) -> Decoding:
        units = self.config.units
        state = (
            State(name="hidden", kind="replaced", shape=(units,)),
            LENGTHS,
            State(name="memory", kind="constant", shape=(-1, 2 * units)),
            State(name="memory_keys", kind="constant", shape=(-1, self.config.attention)),
        )
        return self.decoded(RnnStep(self), RnnEncode(self), state, chunk=1)


class RnnEncode(nn.Module):
    """See types.decoder."""

    def __init__(self, whole: RnnModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, source: Tensor, source_lengths: Tensor) -> tuple[Tensor, ...]:
        memory, keys, hidden = self.whole.read(source, source_lengths)
        return hidden, source_lengths + 0, memory, keys


class RnnStep(nn.Module):
    """See types.decoder; of one token at a time."""

    def __init__(self, whole: RnnModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(
        self,
        tokens: Tensor,
        lengths: Tensor,
        hidden: Tensor,
        memory_lengths: Tensor,
        memory: Tensor,
        keys: Tensor,
    ) -> tuple[Tensor, Tensor]:
        given = self.whole.embedded(tokens)[:, 0]
        missing = ~present(memory_lengths, memory.shape[1])
        context = self.whole.looked(hidden, memory, keys, missing)
        hidden = self.whole.cell(torch.cat([given, context], dim=1), hidden)
        logits = self.whole.logits(torch.cat([given, hidden, context], dim=1)[:, None])
        return logits + 0 * lengths[:, None, None], hidden


def _reversed(lengths: Tensor, places: int) -> Tensor:
    """Where each place of a row comes from that is read from its end, [rows, places]; padding stays."""
    at = torch.arange(places, device=lengths.device)
    return torch.where(at < lengths[:, None], lengths[:, None] - 1 - at, at)


def _gathered(values: Tensor, places: Tensor) -> Tensor:
    """[rows, places, width] in another order of places."""
    return values.gather(1, places[:, :, None].expand(-1, -1, values.shape[2]))
