"""Recurrent encoder-decoder that looks at the source again for each token that it writes."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import TRANSLATED, Net, Shape

if TYPE_CHECKING:
    from torch import nn


class Seq2SeqRnn(msgspec.Struct, frozen=True, kw_only=True):
    """`vectors`: width of a token's; `units`: of the decoder, and of each direction of the encoder; `attention`: of
    the net that compares the two; `dropout`: of tokens' vectors and of what the output layer reads."""

    vectors: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 256
    units: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 256
    attention: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 128
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.3
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1


def build(config: Seq2SeqRnn, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.seq2seq import Texts
    from modelyard.nets.seq2seq_rnn_module import RnnModule

    return RnnModule(config, Texts.of(shape))


NET: Final = Net(
    name="seq2seq_rnn",
    framework="pytorch",
    tasks=(TRANSLATED,),
    config=Seq2SeqRnn,
    build=build,
    source="Bahdanau, Cho and Bengio 2015, Neural machine translation by jointly learning to align and translate",
    exporter="trace",
)
