"""k nearest neighbours: the mean of the training rows nearby, which the model keeps."""

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from modelyard.nets.contract import CLASSES, NUMBERS, Net, Shape

if TYPE_CHECKING:
    from torch import nn


class KNearestNeighbors(msgspec.Struct, frozen=True, kw_only=True):
    """`neighbors`: how many count; `kernel`: "epanechnikov" weighs them by distance, down to nothing for the
    next one further away, "uniform" all alike; `rows`: of training that are kept at most, evenly spaced."""

    neighbors: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 15
    kernel: Literal["epanechnikov", "uniform"] = "epanechnikov"
    rows: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 20_000


def build(config: KNearestNeighbors, shape: Shape) -> "nn.Module":
    """Distances are of the features as preprocessing scales them. Raises MissingExtra without torch."""
    from modelyard.nets.neighbors import Neighbors

    return Neighbors(config.neighbors, config.kernel == "uniform", config.rows, shape)


NET: Final = Net(
    name="k_nearest_neighbors",
    framework="closed-form",
    tasks=(CLASSES, NUMBERS),
    config=KNearestNeighbors,
    build=build,
    source="Fix and Hodges 1951, Discriminatory analysis; Hastie, Tibshirani and Friedman 2009, The Elements of"
    " Statistical Learning, sections 2.3.2 and 6.1",
)
