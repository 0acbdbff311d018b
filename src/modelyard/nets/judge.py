"""A classifier that also gives its last features: what generated images are judged by.

No recipe names it, so it has no line in `nets.NETS`: training makes one of its own for each generating model.
"""

from typing import TYPE_CHECKING, Final

from modelyard.nets import cnn
from modelyard.nets.contract import IMAGES, Net, Shape

if TYPE_CHECKING:
    from torch import nn


def build(config: cnn.Cnn, shape: Shape) -> "nn.Module":
    """The layers of `cnn`. Raises MissingExtra without torch."""
    from modelyard.nets.layers import Tensor, nn

    class Judge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = list(cnn.build(config, shape).children())
            self.body, self.last = nn.Sequential(*layers[:-1]), layers[-1]

        def forward(self, image: Tensor) -> Tensor:
            """Logits [rows, classes]."""
            logits: Tensor = self.last(self.body(image))
            return logits

        def answer(self, image: Tensor) -> dict[str, Tensor]:
            """`features` [rows, hidden] and `probabilities` [rows, classes]."""
            features = self.body(image)
            return {"features": features, "probabilities": self.last(features).softmax(dim=1)}

    return Judge()


NET: Final = Net(
    name="judge",
    framework="pytorch",
    tasks=(IMAGES,),
    config=cnn.Cnn,
    build=build,
    source="Heusel et al. 2017, GANs trained by a two time-scale update rule, section 3, with a net for Inception",
)
