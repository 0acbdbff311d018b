"""What nets of word vectors share: the answer. Needs torch."""

from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.nets.tokens import mean_of


class WordVectors(nn.Module):
    """A text is the mean of the vectors of its words that training has seen; 0 where there are none.

    vectors  float32 [words, width]: what the package keeps of each word
    """

    vectors: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.words = int(shape.preprocessing["vocabulary"])
        self.width = shape.output.shape[1]
        self.left_out = [int(shape.preprocessing["pad_id"]), int(shape.preprocessing["unknown_id"])]

    def is_word(self, ids: Tensor) -> Tensor:
        pad, unknown = self.left_out
        return (ids != pad) & (ids != unknown)

    def answer(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        signs = attention_mask * self.is_word(input_ids).to(attention_mask.dtype)
        # By indexing: `functional.embedding` would give its node the name of the output.
        return {"embedding": mean_of(self.vectors[input_ids], signs)}


__all__ = ["WordVectors", "nn", "torch"]
