"""The same rows as PyTorch's and TensorFlow's own loaders."""

from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import MissingExtra

if TYPE_CHECKING:
    from modelyard.tracking.data import Array, Arrays


def torch_loaders(arrays: "Arrays", is_image: bool, batch_size: int, seed: int) -> tuple[Any, Any]:
    """(train, test). See `ScriptDataset.torch`."""
    try:
        import torch
        from torch.utils.data import DataLoader, TensorDataset
    except ImportError as error:
        raise MissingExtra("torch", "torch") from error

    def tensors(x: "Array", y: "Array | None") -> Any:
        if is_image:
            x = _with_channels(x).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        parts = [torch.from_numpy(np.ascontiguousarray(a)) for a in (x, y) if a is not None]
        return TensorDataset(*parts)

    generator = torch.Generator().manual_seed(seed)
    train = DataLoader(
        tensors(arrays.x_train, arrays.y_train), batch_size=batch_size, shuffle=True, generator=generator
    )
    return train, DataLoader(tensors(arrays.x_test, arrays.y_test), batch_size=batch_size)


def tf_datasets(arrays: "Arrays", is_image: bool, batch_size: int, seed: int) -> tuple[Any, Any]:
    """(train, test). See `ScriptDataset.tf`."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingExtra("tensorflow", "tensorflow") from error

    def sliced(x: "Array", y: "Array | None") -> Any:
        if is_image:
            x = _with_channels(x).astype(np.float32) / np.float32(255)
        return tf.data.Dataset.from_tensor_slices(x if y is None else (x, y))

    train = sliced(arrays.x_train, arrays.y_train).shuffle(10_000, seed=seed).batch(batch_size)
    test = sliced(arrays.x_test, arrays.y_test).batch(batch_size)
    return train.prefetch(tf.data.AUTOTUNE), test.prefetch(tf.data.AUTOTUNE)


def _with_channels(pixels: "Array") -> "Array":
    return pixels[..., None] if pixels.ndim == 3 else pixels
