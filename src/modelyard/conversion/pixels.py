"""How pixels become a model's input: size, layout and scale, as said, as seen in an example, or as likely.

A wrong scale is a model that answers wrongly and does not say so: where there is no evidence, the owner is asked.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelyard.conversion.contract import Job, Subject
from modelyard.errors import InvalidInput
from modelyard.packages.golden import Array
from modelyard.types.package import Layout

_CHANNELS: Final = (1, 3)
_EXACT: Final = 1e-3  # of the pixels' range: how near an example must be to the data set's rows, scaled
_ASK: Final = (
    "example=x_test[:64] as the model sees it, or scale=255 (pixels are divided by it), or mean= and std="
)


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """`size` is (height, width); `mean` and `std` are in steps of 0..255."""

    size: tuple[int, int]
    mode: str
    layout: Layout
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()


def find(subject: Subject, job: Job) -> Pixels:
    """Raises InvalidInput for a model that takes no images, and where scale or layout cannot be seen."""
    if len(subject.tensors.inputs) != 1:
        raise InvalidInput("a model of images has one input", came=[t.name for t in subject.tensors.inputs])
    seen = next(iter(subject.golden[0][0].values()))
    layout = job.options.layout or _layout(seen.shape)
    size, channels = _size(seen.shape, layout, job.origin.rows)
    mode = {1: "L", 3: "RGB"}.get(channels)
    if mode is None:
        raise InvalidInput(
            "a model of images takes grey or RGB", came=f"{channels} channels", allowed=_CHANNELS
        )
    mean, std, note = _scale(seen, layout, channels, job)
    return Pixels(size=size, mode=mode, layout=layout, mean=mean, std=std, notes=(note,) if note else ())


def _layout(shape: tuple[int, ...]) -> Layout:
    if len(shape) == 2:
        return "flat"
    if len(shape) == 3:
        return "NHW"
    if len(shape) == 4 and shape[3] in _CHANNELS:
        return "NHWC"
    if len(shape) == 4 and shape[1] in _CHANNELS:
        return "NCHW"
    raise InvalidInput(
        "this is no input of images",
        came=list(shape),
        allowed="[rows, height, width, channels], [rows, channels, height, width], [rows, height, width],"
        " [rows, values]",
    )


def _size(shape: tuple[int, ...], layout: Layout, rows: Array | None) -> tuple[tuple[int, int], int]:
    if layout == "NHWC":
        return (shape[1], shape[2]), shape[3]
    if layout == "NCHW":
        return (shape[2], shape[3]), shape[1]
    if layout == "NHW":
        return (shape[1], shape[2]), 1
    if rows is not None and math.prod(rows.shape[1:]) == shape[1]:
        return (rows.shape[1], rows.shape[2]), rows.shape[3] if rows.ndim == 4 else 1
    side = math.isqrt(shape[1])
    if side * side != shape[1]:
        raise InvalidInput("these values are no square image, and no data set says their size", came=shape[1])
    return (side, side), 1


def _scale(
    seen: Array, layout: Layout, channels: int, job: Job
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    given = job.options
    if given.scale is not None or given.mean is not None or given.std is not None:
        return _said(job, channels)
    if seen.dtype == np.uint8:
        return (0.0,), (1.0,), ""
    if job.origin.rows is not None and (found := _recognised(seen, layout, job.origin.rows)) is not None:
        how = (
            "as the example was made"
            if job.example is not None
            else "for so the model knows the test rows best"
        )
        return *found, f"pixels: minus {_text(found[0])}, divided by {_text(found[1])}, {how}"
    if job.example is None:
        raise InvalidInput("nothing says how pixels become the model's input", allowed=_ASK)
    return _ranged(seen)


def _said(job: Job, channels: int) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    given = job.options
    mean = given.mean or (0.0,)
    std = given.std or ((given.scale,) if given.scale is not None else (1.0,))
    if given.scale is not None and given.std is not None:
        raise InvalidInput("scale and std say the same", allowed="one of them")
    if any(len(values) not in (1, channels) for values in (mean, std)) or any(s == 0 for s in std):
        raise InvalidInput(
            "mean and std", came=[list(mean), list(std)], allowed=f"1 or {channels} values, std not 0"
        )
    return mean, std, ""


def _recognised(
    seen: Array, layout: Layout, rows: Array
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The line from the data set's first test rows to the example, where it is one."""
    count = min(len(seen), len(rows))
    raw = _channels_last(rows[:count], "NHWC" if rows.ndim == 4 else "NHW")
    made = _channels_last(seen[:count].reshape(raw.shape) if layout == "flat" else seen[:count],
                          "NHWC" if layout == "flat" else layout)  # fmt: skip
    if made.shape != raw.shape or count == 0:
        return None
    lines = [_line(raw[..., c].ravel(), made[..., c].ravel()) for c in range(raw.shape[-1])]
    if any(line is None for line in lines):
        return None
    found = [line for line in lines if line is not None]
    mean, std = tuple(m for m, _ in found), tuple(s for _, s in found)
    same = len(set(zip(mean, std, strict=True))) == 1
    return (mean[:1], std[:1]) if same else (mean, std)


def _channels_last(array: Array, layout: Layout) -> Array:
    if layout == "NCHW":
        return array.transpose(0, 2, 3, 1)
    return array[..., None] if layout == "NHW" else array


def _line(pixels: Array, made: Array) -> tuple[float, float] | None:
    """(mean, std) with made = (pixels - mean) / std, or None where it is no such line."""
    x, y = pixels.astype(np.float64), made.astype(np.float64)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    slope, offset = np.polyfit(x, y, 1)
    if slope <= 0 or np.abs(slope * x + offset - y).max() > _EXACT * np.ptp(y):
        return None
    return _round(-offset / slope), _round(1 / slope)


def _round(value: float) -> float:
    """Of a fit's last digits: 254.99999 was 255."""
    return 0.0 if abs(value) < 1e-4 else float(f"{value:.6g}")


def _ranged(seen: Array) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    low, high = float(seen.min()), float(seen.max())
    if low >= 0 and high <= 1:
        return (0.0,), (255.0,), "pixels are divided by 255: the example's values lie in 0..1"
    if -1 <= low < 0 < high <= 1:
        return (127.5,), (127.5,), "pixels become -1..1: the example's values lie there"
    if low >= 0 and high <= 255 and high > 2:
        return (0.0,), (1.0,), "pixels are taken as 0..255: the example's values lie there"
    raise InvalidInput(
        "nothing says how pixels become the model's input: the example is neither in 0..1, in -1..1 nor in 0..255",
        came=f"{low:.3g} to {high:.3g}",
        allowed=_ASK,
    )


def _text(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in values)
