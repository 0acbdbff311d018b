"""Embeddings of a table's categories. Imported by `build` functions only: torch is needed."""

from collections.abc import Sequence

from modelyard.nets.layers import Tensor, nn, torch


class Embeddings(nn.Module):
    """Features [rows, numbers + categories] with each category's one-hot block turned into a few learnt numbers.

    One row of the weight is the embedding of one value: a linear layer on a one-hot block is a look-up (Guo and
    Berkhahn 2016, section 3). Values that training has not seen have the block's last feature and its row. A
    block of n values gets half as many numbers, at most `most`.
    """

    def __init__(self, numbers: int, widths: Sequence[int], most: int) -> None:
        super().__init__()
        self.numbers, self.widths = numbers, list(widths)
        sizes = [min(most, (width + 1) // 2) for width in widths]
        self.tables = nn.ModuleList(
            nn.Linear(width, size, bias=False) for width, size in zip(widths, sizes, strict=True)
        )
        for table in self.tables:
            assert isinstance(table, nn.Linear)
            nn.init.normal_(table.weight, std=0.3)
        self.width = numbers + sum(sizes)

    def forward(self, features: Tensor) -> Tensor:
        numbers, *blocks = torch.split(features, [self.numbers, *self.widths], dim=1)
        embedded = [table(block) for table, block in zip(self.tables, blocks, strict=True)]
        return torch.cat([numbers, *embedded], dim=1)
