"""Variational autoencoder for images: convolutions down to a mean and a variance, and up again from a draw."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import GENERATED, PROMPTED, Net, Shape

if TYPE_CHECKING:
    from torch import nn

Channels = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Vae(msgspec.Struct, frozen=True, kw_only=True):
    """`channels`: of the encoder's two convolutions, the decoder's in the other order; `hidden`: units of the dense
    layers; `beta`: what the divergence counts (Higgins et al. 2017; 1 is the paper's bound); `couplings`: layers of
    the flow that learns the codes' density (Chen et al. 2017, Variational lossy autoencoder, section 3.2); with 0
    it is the normal one, and images that are drawn from it look less like those that were learnt from."""

    channels: tuple[Channels, Channels] = (32, 64)
    hidden: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 256
    beta: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.25
    couplings: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4


def build(config: Vae, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets import image_layers as layers
    from modelyard.nets.flows import Flow
    from modelyard.nets.layers import Tensor, nn, torch

    _, height, width, channels = shape.output.shape
    latent, classes = shape.input.shape[1], layers.classes_of(shape)
    first, second = config.channels

    class VariationalAutoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                *(nn.Conv2d(channels, first, 3, stride=2, padding=1), nn.ReLU()),
                *(nn.Conv2d(first, second, 3, stride=2, padding=1), nn.ReLU()),
                *(
                    nn.Flatten(),
                    nn.Linear(second * -(-height // 4) * -(-width // 4), config.hidden),
                    nn.ReLU(),
                ),
            )
            self.asked = layers.Asked(classes)
            self.moments = nn.Linear(config.hidden + self.asked.width, 2 * latent)
            self.inward = nn.Sequential(nn.Linear(latent + self.asked.width, config.hidden), nn.ReLU())
            self.decoder = layers.Upward(
                config.hidden, (second, first), (height, width, channels), normalize=True
            )
            self.prior = Flow(latent, classes, config.couplings, config.hidden // 2)

        def encode(self, pixels: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
            """Mean and logarithm of the variance, each [rows, latent], of values in 0..1 [rows, channels, h, w]."""
            mean, log_variance = self.moments(self.asked(self.encoder(pixels), label)).chunk(2, dim=1)
            return mean, log_variance

        def decode(self, code: Tensor, label: Tensor | None) -> Tensor:
            """Logits of a pixel's brightness, [rows, channels, height, width]."""
            logits: Tensor = self.decoder(self.inward(self.asked(code, label)))
            return logits

        def loss(
            self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], player: str = ""
        ) -> dict[str, Tensor]:
            """The negative bound, in nats an image: Bernoulli pixels, a normal posterior (appendix C). Both parts
            are estimated at one draw (equation 6), which is the row's own noise outside of training."""
            pixels, label = layers.to_unit(targets["image"]), inputs.get("label")
            mean, log_variance = self.encode(pixels, label)
            noise = torch.randn_like(mean) if self.training else inputs["noise"]
            code = mean + noise * (log_variance / 2).exp()
            logits, rows = self.decode(code, label), len(pixels)
            error = nn.functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum") / rows
            likely = -(noise**2 + log_variance + math.log(2 * math.pi)).sum(dim=1) / 2  # of the draw
            divergence = (likely - self.prior.log_density(code, label)).mean()
            return {"loss": error + config.beta * divergence, "reconstruction": error, "kl": divergence}

        def answer(self, noise: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
            """`image` [rows, height, width, channels] in 0..1: the pixels' means."""
            code = self.prior(noise, label)
            return {"image": self.decode(code, label).sigmoid().permute(0, 2, 3, 1)}

        def sketch(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
            """`reconstruction`: real images through the posterior's mean and back."""
            label = inputs.get("label")
            mean, _ = self.encode(layers.to_unit(targets["image"]), label)
            return {"reconstruction": self.decode(mean, label).sigmoid().permute(0, 2, 3, 1)}

    return VariationalAutoencoder()


NET: Final = Net(
    name="vae",
    framework="pytorch",
    tasks=(GENERATED, PROMPTED),
    config=Vae,
    build=build,
    source="Kingma and Welling 2014, Auto-encoding variational Bayes; by label: Sohn, Lee and Yan 2015, Learning"
    " structured output representation using deep conditional generative models, section 4",
)
