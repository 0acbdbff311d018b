"""Decision tree (CART)."""

from typing import Annotated, Any, Final

import msgspec

from modelyard.nets.contract import CLASSES, IMAGES, NUMBERS, Net, Shape
from modelyard.nets.estimators import sklearn


class DecisionTree(msgspec.Struct, frozen=True, kw_only=True):
    """`max_depth`: None is without a limit; `min_leaf`: rows of a leaf; `pruning`: cost-complexity alpha."""

    max_depth: Annotated[int, msgspec.Meta(ge=1)] | None = None
    min_leaf: Annotated[int, msgspec.Meta(ge=1)] = 2
    pruning: Annotated[float, msgspec.Meta(ge=0)] = 0.0


def build(config: DecisionTree, shape: Shape) -> Any:
    tree = sklearn("tree")
    create = tree.DecisionTreeRegressor if shape.classes is None else tree.DecisionTreeClassifier
    return create(max_depth=config.max_depth, min_samples_leaf=config.min_leaf, ccp_alpha=config.pruning)


NET: Final = Net(
    name="decision_tree",
    framework="sklearn",
    tasks=(CLASSES, NUMBERS, IMAGES),
    config=DecisionTree,
    build=build,
    source="Breiman, Friedman, Olshen and Stone 1984, Classification and Regression Trees",
)
