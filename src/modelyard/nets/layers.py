"""The first layers that nets share. Imported by `build` functions only: torch is needed."""

from modelyard.nets.contract import Shape

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    from modelyard.errors import MissingExtra

    raise MissingExtra("torch", "torch") from error


__all__ = ["NormalizedPixels", "NormalizedSpectrogram", "Tensor", "nn", "torch"]


class NormalizedPixels(nn.Module):
    """uint8 [rows, height, width, channels] to float32 [rows, channels, height, width], mean 0 and deviation
    1 a channel over the training split."""

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        mean = torch.tensor(shape.preprocessing["mean"], dtype=torch.float32)
        std = torch.tensor(shape.preprocessing["std"], dtype=torch.float32)
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("scale", (1 / std).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return (image.permute(0, 3, 1, 2).to(torch.float32) - self.mean) * self.scale


class NormalizedSpectrogram(nn.Module):
    """float32 [rows, frames, bands] to [rows, 1, frames, bands], mean 0 and deviation 1 over the training split."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.mean = float(shape.preprocessing["mean"])
        self.scale = 1 / float(shape.preprocessing["std"])

    def forward(self, spectrogram: Tensor) -> Tensor:
        return ((spectrogram - self.mean) * self.scale).unsqueeze(1)
