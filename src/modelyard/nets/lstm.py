"""Recurrent network of texts: LSTM or GRU, read from both ends, pooled over the tokens."""

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from modelyard.nets.contract import TEXTS, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class Lstm(msgspec.Struct, frozen=True, kw_only=True):
    """`width`: of a token's vector; `hidden`: units of a layer in each direction; `bidirectional`: read backwards
    too; `dropout`: before the first layer and after each."""

    cell: Literal["lstm", "gru"] = "lstm"
    width: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 100
    hidden: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 128
    layers: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    bidirectional: bool = True
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.5


def build(config: Lstm, shape: Shape) -> "nn.Module":
    """The answer is made of the largest value of each unit over the tokens, and the mean.

    A text that is padded on the right is read forwards as it is: what comes after its end changes nothing before
    it. To be read backwards its own tokens are turned around, and the padding stays where it is. Raises
    MissingExtra without torch.
    """
    from modelyard.nets import tokens
    from modelyard.nets.layers import nn, torch

    kind = nn.LSTM if config.cell == "lstm" else nn.GRU
    directions = 2 if config.bidirectional else 1

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vectors = nn.Embedding(int(shape.preprocessing["vocabulary"]), config.width)
            nn.init.normal_(self.vectors.weight, std=0.1)
            widths = [config.width] + [config.hidden * directions] * (config.layers - 1)
            self.forwards = nn.ModuleList(kind(width, config.hidden, batch_first=True) for width in widths)
            self.backwards = nn.ModuleList(
                kind(width, config.hidden, batch_first=True) for width in widths if config.bidirectional
            )
            self.dropout = nn.Dropout(config.dropout)
            self.last = nn.Linear(2 * config.hidden * directions, shape.values)

        def forward(self, input_ids: "Tensor", attention_mask: "Tensor") -> "Tensor":
            turned = _turned(attention_mask)
            hidden = self.dropout(self.vectors(input_ids))
            for number, layer in enumerate(self.forwards):
                found = [layer(hidden)[0]]
                if config.bidirectional:
                    found.append(_gathered(self.backwards[number](_gathered(hidden, turned))[0], turned))
                hidden = self.dropout(torch.cat(found, dim=-1))
            pooled = [tokens.largest_of(hidden, attention_mask), tokens.mean_of(hidden, attention_mask)]
            logits: Tensor = self.last(torch.cat(pooled, dim=-1))
            return logits

    def _turned(attention_mask: "Tensor") -> "Tensor":
        """Where each place's token stands when a row's own tokens are turned around, int64 [rows, tokens]."""
        places = torch.arange(attention_mask.shape[1])
        lengths = attention_mask.sum(dim=1, keepdim=True)
        return torch.where(places < lengths, lengths - 1 - places, places)

    def _gathered(values: "Tensor", places: "Tensor") -> "Tensor":
        return torch.gather(values, 1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))

    return Recurrent()


NET: Final = Net(
    name="lstm",
    framework="pytorch",
    tasks=(TEXTS,),
    config=Lstm,
    build=build,
    source="Hochreiter and Schmidhuber 1997, Long short-term memory; Cho et al. 2014 for the GRU; Schuster and"
    " Paliwal 1997 for both directions",
    exporter="trace",
)
