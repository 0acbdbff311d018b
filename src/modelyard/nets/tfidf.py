"""TF-IDF of tokens and groups of them below a linear layer: what two nets of texts share. Needs torch."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.nets.tokens import WordGroups

Solver = Callable[[Any, Any], tuple[Any, Any]]
"""TF-IDF, sparse [rows, features], and class numbers [rows] to weights [features, classes] and biases
[classes]."""
_TOGETHER: Final = 512  # rows
_NEVER: Final = -50.0


class Tfidf(nn.Module):
    """A term weighs 1 + ln of how often it occurs in the text, times 1 + ln((1 + texts) / (1 + texts with it)); a
    text's weights have the length 1 (Salton and Buckley 1988; the smoothing is scikit-learn's). A term of fewer
    than `least` texts weighs nothing.

    Nothing as wide as the vocabulary is made: each token's occurrences are counted among those of its own text,
    and each occurrence carries its share of the term's weight.
    """

    idf: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, shape: Shape, orders: int, buckets: int, least: int, solver: Solver) -> None:
        super().__init__()
        self.groups = WordGroups(orders, buckets, int(shape.preprocessing["vocabulary"]))
        self._least, self._solver = least, solver
        self.register_buffer("idf", torch.zeros(self.groups.size))
        self.register_buffer("weight", torch.zeros(self.groups.size, shape.values))
        self.register_buffer("bias", torch.zeros(shape.values))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        numbers, shares = self.shares(input_ids, attention_mask)
        return (shares.unsqueeze(-1) * self.weight[numbers]).sum(dim=1) + self.bias

    def shares(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Term numbers and each occurrence's share of its term's weight, [rows, orders x tokens]."""
        numbers, counts = self._counted(input_ids, attention_mask)
        often = counts.clamp(min=1)
        share = torch.where(counts > 0, self.idf[numbers] * (1 + often.log()) / often, 0.0)
        length = (share**2 * often).sum(dim=(1, 2), keepdim=True).sqrt()
        return numbers.flatten(1), (share / length.clamp(min=1e-12)).flatten(1)

    def _counted(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Term numbers, and how often a place's term occurs in its text, 0 for none; [rows, orders, tokens]."""
        numbers, present = self.groups(input_ids, attention_mask)
        same = (
            (numbers.unsqueeze(-1) == numbers.unsqueeze(-2)) & present.unsqueeze(-2) & present.unsqueeze(-1)
        )
        return numbers, same.sum(dim=-1).to(self.idf.dtype)

    def solve(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
        from scipy import sparse

        whole_ids, whole_mask = inputs["input_ids"], inputs["attention_mask"]
        rows = len(whole_ids)
        parts = [
            (whole_ids[start : start + _TOGETHER], whole_mask[start : start + _TOGETHER])
            for start in range(0, rows, _TOGETHER)
        ]
        frequency = torch.zeros(self.groups.size)
        for ids, mask in parts:
            terms, counts = self._counted(ids, mask)  # a text's occurrences of a term add up to 1
            frequency.index_add_(0, terms.flatten(), (1 / counts).where(counts > 0, 0.0).flatten())
        inverse = torch.log((1 + rows) / (1 + frequency)) + 1
        self.idf.copy_(inverse.where(frequency > self._least - 0.5, 0.0))
        blocks = []
        for ids, mask in parts:
            found = self.shares(ids, mask)
            numbers, shares = found[0].numpy(), found[1].numpy()
            at = np.repeat(np.arange(len(numbers)), numbers.shape[1])
            size = (len(numbers), self.groups.size)
            block = sparse.coo_matrix((shares.ravel(), (at, numbers.ravel())), shape=size).tocsr()
            block.eliminate_zeros()
            blocks.append(block)
        weight, bias = self._solver(sparse.vstack(blocks).astype(np.float64), targets["target"].numpy())
        self.weight.copy_(torch.from_numpy(np.asarray(weight, np.float32)))
        self.bias.copy_(torch.from_numpy(np.asarray(bias, np.float32)))


def seen_classes(targets: Any) -> Any:
    """Raises InvalidInput where there is nothing to tell apart."""
    seen = np.unique(targets)
    if len(seen) < 2:
        raise InvalidInput("the training split has one class only", allowed="2 or more")
    return seen


def of_all(weights: Any, biases: Any, seen: Any, classes: int) -> tuple[Any, Any]:
    """Weights [features, seen] and biases of the classes that training has seen, for all: the others' are so low
    that their probability is next to 0. Of two classes scikit-learn has one row of weights, that of the second."""
    if weights.shape[1] == 1:
        weights, biases = np.hstack([-weights, weights]) / 2, np.array([-biases[0], biases[0]]) / 2
    all_weights, all_biases = np.zeros((len(weights), classes)), np.full(classes, _NEVER)
    all_weights[:, seen], all_biases[seen] = weights, biases
    return all_weights, all_biases
