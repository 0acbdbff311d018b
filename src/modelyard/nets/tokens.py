"""What nets of texts share: features of tokens and means over those that are no padding. Needs torch."""

from typing import Final

from modelyard.nets.layers import Tensor, nn, torch

_PRIME: Final = 2_147_483_647  # products of two numbers below it fit into int64
_FIRST, _NEXT = 1_327_217_885, 630_360_016  # below it (Fishman and Moore 1986)


class WordGroups(nn.Module):
    """Token numbers and those of groups of neighbours, which share `buckets` by a hash (Weinberger et al. 2009).

    orders      the longest group: 1 is tokens alone, 2 pairs too
    vocabulary  tokens; groups are numbered from there
    """

    def __init__(self, orders: int, buckets: int, vocabulary: int) -> None:
        super().__init__()
        self._orders, self._buckets, self._vocabulary = orders, buckets, vocabulary
        self.size = vocabulary + (buckets if orders > 1 else 0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers int64 and a bool for what is there, both [rows, orders, tokens]: at each place the group that
        begins there."""
        numbers, present = [input_ids], [attention_mask > 0]
        hashed, mask = input_ids, attention_mask
        following, following_mask = input_ids, attention_mask
        for _ in range(self._orders - 1):
            following, following_mask = _shifted(following), _shifted(following_mask)
            hashed = _mixed((hashed * _FIRST + following * _NEXT) % _PRIME)
            mask = mask * following_mask
            numbers.append(hashed % self._buckets + self._vocabulary)
            present.append(mask > 0)
        return torch.stack(numbers, dim=1), torch.stack(present, dim=1)


def _mixed(numbers: Tensor) -> Tensor:
    """Numbers below the prime that stand on a lattice, spread over all of them: a product is not linear in them."""
    return numbers * (numbers % 65_536 + 12_345) % _PRIME


def _shifted(values: Tensor) -> Tensor:
    """[rows, tokens], each row one to the left, with a 0 at its end."""
    return torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)


def mean_of(vectors: Tensor, present: Tensor) -> Tensor:
    """[rows, tokens, width] and what is there [rows, tokens] -> [rows, width]; 0 where nothing is. What is there
    may also be a sign: -1 takes a vector away."""
    weights = present.to(vectors.dtype).unsqueeze(-1)
    return (vectors * weights).sum(dim=1) / weights.abs().sum(dim=1).clamp(min=1)


def largest_of(vectors: Tensor, present: Tensor) -> Tensor:
    """The same of the largest value."""
    hidden = vectors.masked_fill(~present.to(torch.bool).unsqueeze(-1), -1e4)
    return hidden.max(dim=1).values
