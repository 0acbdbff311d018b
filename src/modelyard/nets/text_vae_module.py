"""The module of the net `text_vae`. Imported by its `build` alone: torch is needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from modelyard.nets.contract import Decoding, Shape
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.nets.text_vae import TextVae
from modelyard.tasks.text_codes import EDGE, LEVELS
from modelyard.types.decoder import State

functional = nn.functional
_PERCENT = 100


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Of the data, as the task text-autoencoding fitted it: sizes, and special tokens."""

    vocabulary: int
    source: int
    context: int
    latent: int
    pad: int
    start: int
    end: int
    unknown: int
    between: int
    vector: int

    @classmethod
    def of(cls, shape: Shape) -> Self:
        return cls(**{name: int(shape.preprocessing[name]) for name in cls.__dataclass_fields__})


class TextVaeModule(nn.Module):
    """See `text_vae`."""

    steps: Tensor

    def __init__(self, config: TextVae, texts: Texts) -> None:
        super().__init__()
        self.config, self.texts = config, texts
        self.words = nn.Embedding(texts.vocabulary, config.vectors)
        nn.init.normal_(self.words.weight, std=config.vectors**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.reader = nn.GRU(config.vectors, config.units, batch_first=True)
        self.moments = nn.Linear(config.units, 2 * texts.latent)
        self.begin_ = nn.Linear(texts.latent, config.units)
        self.writer = nn.GRU(config.vectors + texts.latent, config.units, batch_first=True)
        self.narrow = nn.Linear(config.units + texts.latent, config.vectors)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, source: Tensor, tokens: Tensor) -> Tensor:
        """Logits [rows, n, vocabulary] of a text's tokens int64 [rows, n], by the mean of its code."""
        mean, _ = self.read(source, (source != self.texts.pad).sum(dim=1))
        logits, _ = self.write(tokens, mean, torch.tanh(self.begin_(mean)))
        return logits

    def loss(
        self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], player: str = ""
    ) -> dict[str, Tensor]:
        """The negative bound in nats a text (section 2); in training the divergence is annealed (section 3.1) and
        has its free bits."""
        source, tokens, due = inputs["source"], inputs["tokens"], targets["next"]
        mean, log_variance = self.read(source, (source != self.texts.pad).sum(dim=1))
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        logits, _ = self.write(self.hidden(tokens), code, torch.tanh(self.begin_(code)))
        flat = logits.flatten(0, 1).float()
        error = functional.cross_entropy(flat, due.flatten(), ignore_index=self.texts.pad, reduction="sum")
        error = error / len(due)
        each = ((mean**2 + log_variance.exp() - 1 - log_variance) / 2).mean(dim=0)
        divergence = each.sum()
        counted = divergence
        if self.training:
            counted = self.weight() * each.clamp(min=self.config.free_nats).sum()
        return {"loss": error + counted, "reconstruction": error, "kl": divergence}

    def weight(self) -> Tensor:
        """What the divergence counts at this step of training, and a step on."""
        done = self.steps.float() / max(1, self.config.annealing)
        self.steps += 1
        return done.clamp(max=1.0)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Word dropout (section 3.2); the first token stays."""
        if not self.training:
            return tokens
        drawn = torch.rand(tokens.shape, device=tokens.device) < self.config.word_dropout
        return torch.where(drawn & (tokens != self.texts.start), self.texts.unknown, tokens)

    def read(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance, each [rows, latent]."""
        states, _ = self.reader(self.dropout(self.words(source)))
        last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
        mean, log_variance = self.moments(states.gather(1, last).squeeze(1)).chunk(2, dim=1)
        return mean, log_variance

    def write(self, tokens: Tensor, code: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the state [rows, units] after the last token."""
        beside = code[:, None].expand(-1, tokens.shape[1], -1)
        given = torch.cat([self.dropout(self.words(tokens)), beside], dim=2)
        states, last = self.writer(given, state[None].contiguous())
        narrow = self.dropout(torch.tanh(self.narrow(torch.cat([states, beside], dim=2))))
        return functional.linear(narrow, self.words.weight), last[0]

    def decoding(self) -> Decoding:
        texts = self.texts
        return Decoding(
            step=Step(self),
            encode=Encode(self),
            state=(
                State(name="hidden", kind="replaced", shape=(self.config.units,)),
                State(name="code", kind="constant", shape=(texts.latent,)),
            ),
            context=texts.context,
            source=texts.source,
            vocabulary=texts.vocabulary,
            start=texts.start,
            ends=(texts.end,),
            chunk=1,
        )


class Encode(nn.Module):
    """See types.decoder, and `tasks.text_autoencoding` for what a source is."""

    def __init__(self, whole: TextVaeModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, source: Tensor, source_lengths: Tensor) -> tuple[Tensor, Tensor]:
        code = torch.where(
            source[:, :1] == self.whole.texts.vector, self.told(source), self.between(source, source_lengths)
        )
        return torch.tanh(self.whole.begin_(code)), code

    def between(self, source: Tensor, lengths: Tensor) -> Tensor:
        """The mean of a text's code, or a point between those of two."""
        places = torch.arange(source.shape[1], device=source.device)
        there = places < lengths[:, None]
        parting = (source == self.whole.texts.between) & there
        before = parting.long().cumsum(dim=1)
        first = ((before == 0) & there).sum(dim=1)
        second = ((before == 1) & there).sum(dim=1) - 1  # without the mark itself
        one, _ = self.whole.read(source, first)
        moved = (first[:, None] + 1 + places).clamp(max=source.shape[1] - 1)
        other, _ = self.whole.read(source.gather(1, moved), second)
        last = source.gather(1, (lengths - 1).clamp(min=0)[:, None])
        share = torch.where(parting.any(dim=1)[:, None], last.float() / _PERCENT, torch.zeros(()))
        return one + share * (other - one)

    def told(self, source: Tensor) -> Tensor:
        """A code that came as levels, after its mark."""
        latent = self.whole.texts.latent
        levels = functional.pad(source, (0, latent + 1))[:, 1 : latent + 1]
        return levels.float() / (LEVELS - 1) * (2 * EDGE) - EDGE


class Step(nn.Module):
    """See types.decoder; of one token at a time."""

    def __init__(self, whole: TextVaeModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        logits, state = self.whole.write(tokens, code, hidden)
        return logits + 0 * lengths[:, None, None], state
