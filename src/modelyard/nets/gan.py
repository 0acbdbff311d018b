"""Generative adversarial net of convolutions (DCGAN): a generator, and a discriminator that it tries to deceive."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.errors import InvalidInput
from modelyard.nets.contract import GENERATED, PROMPTED, Net, Shape

if TYPE_CHECKING:
    from torch import nn

Channels = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Gan(msgspec.Struct, frozen=True, kw_only=True):
    """`channels`: of the discriminator's two convolutions, the generator's in the other order; `smoothing`: how far
    below 1 the discriminator's target for real images is (Salimans et al. 2016, section 3.4); `dropout`: before its
    last layer."""

    channels: tuple[Channels, Channels] = (64, 128)
    smoothing: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 0.1
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


def build(config: Gan, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch, InvalidInput for images of less than 4 pixels a side."""
    from modelyard.nets import image_layers as layers
    from modelyard.nets.layers import Tensor, nn, torch

    _, height, width, colours = shape.output.shape
    latent, classes = shape.input.shape[1], layers.classes_of(shape)
    size, (first, second) = (height, width, colours), config.channels
    if min(height, width) < 4:
        raise InvalidInput(
            "images are too small for net 'gan'", came=[height, width], allowed="4 or more a side"
        )

    class Adversaries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.asked = layers.Asked(classes)
            self.generator = layers.Upward(latent + classes, (second, first), size, normalize=True)
            self.discriminator = layers.Critic((first, second), size, classes, config.dropout)
            self.apply(layers.initialise)

        def players(self) -> "Mapping[str, Iterable[nn.Parameter]]":
            """The discriminator first, as in algorithm 1 of Goodfellow et al. 2014, Generative adversarial nets."""
            parts = {"discriminator": self.discriminator, "generator": self.generator}
            return {name: part.parameters() for name, part in parts.items()}

        def loss(
            self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], player: str = ""
        ) -> dict[str, Tensor]:
            """Cross entropy in nats; the generator's is the one that does not saturate (section 3 there). Outside
            of training the noise is the row's own."""
            label = inputs.get("label")
            noise = torch.randn_like(inputs["noise"]) if self.training else inputs["noise"]
            if player == "generator":
                return {"loss": layers.entropy(self.discriminator(self.made(noise, label), label), 1.0)}
            with torch.no_grad():
                made = self.made(noise, label)
            on_real = self.discriminator(layers.to_signed(targets["image"]), label)
            on_made = self.discriminator(made, label)
            right = ((on_real > 0).float().mean() + (on_made < 0).float().mean()) / 2
            loss = layers.entropy(on_real, 1 - config.smoothing) + layers.entropy(on_made, 0.0)
            return {"loss": loss, "accuracy": right.detach()}

        def answer(self, noise: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
            """`image` [rows, height, width, colours] in 0..1."""
            return {"image": (self.made(noise, label).permute(0, 2, 3, 1) + 1) / 2}

        def made(self, noise: Tensor, label: Tensor | None) -> Tensor:
            """Images [rows, colours, height, width] in -1..1."""
            image: Tensor = self.generator(self.asked(noise, label)).tanh()
            return image

    return Adversaries()


NET: Final = Net(
    name="gan",
    framework="pytorch",
    tasks=(GENERATED, PROMPTED),
    config=Gan,
    build=build,
    source="Radford, Metz and Chintala 2016, Unsupervised representation learning with deep convolutional"
    " generative adversarial networks",
)
