"""What recommenders share: histories as rows of a matrix, and the biases of users and items. Imported by `build`
functions only: torch is needed.

A module's inputs are the engine's of `tasks.recommender`; its targets those of `tasks.recommender_fit.examples`.
"""

from collections.abc import Mapping

from modelyard.errors import TooLarge
from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn, torch

__all__ = ["Biases", "Sizes", "dense", "drawn_to_0", "marked", "matrix"]

_CELLS = 1 << 29  # of a matrix of users by items in memory: 2 GiB


class Sizes:
    """How many users and items there are, and whether what they gave are ratings, around which mean."""

    def __init__(self, shape: Shape) -> None:
        given = shape.preprocessing
        self.users, self.items = int(given["users"]), int(given["items"])
        self.rated = given["feedback"] == "explicit"
        self.mean = float(given["mean"])


def dense(history: Tensor, values: Tensor, items: int) -> Tensor:
    """`values` [rows, longest] at their items, 0 elsewhere, float32 [rows, items]. Places that only fill a row up
    have the number `items`."""
    found = torch.zeros(history.shape[0], items + 1, dtype=torch.float32, device=history.device)
    return found.scatter(1, history, values)[:, :items]


def marked(history: Tensor, items: int) -> Tensor:
    """1 at a history's items, 0 elsewhere, float32 [rows, items]."""
    return dense(history, torch.ones_like(history, dtype=torch.float32), items)


def matrix(targets: Mapping[str, Tensor], sizes: Sizes, net: str) -> tuple[Tensor, Tensor]:
    """The whole training split, `rating` and 1 for each cell that is known, both float32 [users, items].

    Raises TooLarge.
    """
    if sizes.users * sizes.items > _CELLS:
        raise TooLarge(
            f"{net} holds a matrix of users by items",
            came=f"{sizes.users:,} x {sizes.items:,}",
            allowed=f"{_CELLS:,} cells; matrix_factorization and ncf take more",
        )
    return dense(targets["item"], targets["rating"], sizes.items), marked(targets["item"], sizes.items)


def drawn_to_0(count: Tensor, by: float) -> Tensor:
    """The share that is believed of what `count` cases say, where `by` cases of nothing stand beside them."""
    return count / (count + by).clamp(min=1e-9)


class Biases(nn.Module):
    """How much better an item is rated than the mean, and how much better a user rates: means with `damping`
    ratings of 0 added (Koren 2008, Factorization meets the neighborhood, section 2.1). A user's is found from the
    history, so that it need not be one of training."""

    item: Tensor

    def __init__(self, sizes: Sizes, damping: float) -> None:
        super().__init__()
        self.mean, self.damping = sizes.mean, damping
        self.register_buffer("item", torch.zeros(sizes.items))

    def solve(self, ratings: Tensor, known: Tensor) -> None:
        """`ratings` and `known` [users, items]."""
        self.item.copy_(((ratings - self.mean) * known).sum(0) / self._damped(known.sum(0)))

    def forward(self, ratings: Tensor, known: Tensor) -> Tensor:
        """Estimates of all ratings, float32 [rows, items]."""
        left = ((ratings - self.mean - self.item) * known).sum(1) / self._damped(known.sum(1))
        return self.mean + self.item + left[:, None]

    def _damped(self, count: Tensor) -> Tensor:
        return (count + self.damping).clamp(min=1e-9)
