"""Changes of sounds: waveforms [rows, samples] in -1..1, or log-mel spectrograms [rows, frames, bands]."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Array, Examples
from modelyard.types.report import Exhibit, Picture

if TYPE_CHECKING:
    from modelyard.training.job import Job

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Mask = npt.NDArray[np.bool_]
_RANGE: Final = 20.0  # decibels above the least ratio
_WINDOW, _HOP = 400, 160  # samples of a spectrogram's frame on the page


class Audio(msgspec.Struct, frozen=True, kw_only=True, tag_field="name", tag="audio"):
    """
    noise            the least ratio of a sound's power to white noise's, in decibels; drawn from it to 20 more. Of
                     spectrograms, the power of how they vary
    shift            the share of its length by which a sound is moved at most, each way, silence in its place
    time_masks       stretches of time that are left out: SpecAugment (Park et al. 2019, section 2), without warping
    time_width       the share of the length that each takes at most
    frequency_masks  ranges of bands that are left out. Of spectrograms
    frequency_width  the share of the bands that each takes at most
    """

    noise: Annotated[float, msgspec.Meta(ge=-20, le=100)] | None = None
    shift: Share = 0.0
    time_masks: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    time_width: Share = 0.1
    frequency_masks: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    frequency_width: Share = 0.15


class AudioAugmenter:
    """See `contract.Augmenter`."""

    def __init__(self, given: Audio, job: "Job") -> None:
        self._given, self._labels = given, job.labels
        self._name = job.shape.input.name
        sounds = job.train.inputs[self._name]
        self._is_waveform = sounds.ndim == 2
        if sounds.ndim not in (2, 3) or sounds.dtype.kind != "f":
            raise InvalidInput(
                "augmentation of audio needs waveforms or spectrograms",
                came=f"{self._name} {sounds.dtype} {list(sounds.shape[1:])}",
            )
        if given.frequency_masks and self._is_waveform:
            raise InvalidInput(
                "recipe.training.augmentation.frequency_masks needs spectrograms", came="waveforms"
            )

    def __call__(self, batch: Examples, random: np.random.Generator) -> Examples:
        given, sounds = self._given, batch.inputs[self._name]
        lengths = _lengths(batch, self._name)
        silence = 0.0 if self._is_waveform else _quiet(sounds, lengths)
        if given.shift:
            sounds = shifted(sounds, lengths, given.shift, silence, random)
        if given.noise is not None:
            sounds = noisy(sounds - silence, lengths, given.noise, random) + silence
        for _ in range(given.time_masks):
            hidden = stretches(sounds.shape[1], lengths, given.time_width, random)
            sounds = np.where(hidden if self._is_waveform else hidden[:, :, None], silence, sounds)
        for _ in range(given.frequency_masks):
            bands = np.full(len(sounds), sounds.shape[2])
            hidden = stretches(sounds.shape[2], bands, given.frequency_width, random)
            sounds = np.where(hidden[:, None, :], silence, sounds)
        sounds = sounds.astype(batch.inputs[self._name].dtype, copy=False)
        return Examples(
            inputs={**batch.inputs, self._name: sounds}, targets=batch.targets, ragged=batch.ragged
        )

    def exhibit(self, rows: Examples, drawn: Sequence[Examples]) -> Exhibit:
        """A picture for each row: its spectrogram as it is, above the first draw's."""
        pictures = [
            Picture(
                png=_picture([self._spectrogram(part, row) for part in (rows, drawn[0])]),
                caption=self._caption(rows, row),
            )
            for row in range(len(rows))
        ]
        note = "Above as it is, below as training may hear it; time goes to the right, frequency up."
        return Exhibit(title="Augmented training rows", note=note, pictures=tuple(pictures))

    def _spectrogram(self, part: Examples, row: int) -> Array:
        sound = part.inputs[self._name][row][: int(_lengths(part, self._name)[row])]
        return spectrogram(sound) if self._is_waveform else sound

    def _caption(self, rows: Examples, row: int) -> str:
        target = rows.targets.get("target")
        known = self._labels and target is not None and target.dtype == np.int64
        return str(self._labels[target[row]]) if known and target is not None else f"row {row}"


def shifted(
    sounds: Array, lengths: Array, share: float, silence: float, random: np.random.Generator
) -> Array:
    """Each moved by a part of its own length, within it."""
    by = np.rint(random.uniform(-share, share, len(sounds)) * lengths).astype(np.int64)
    places = np.arange(sounds.shape[1]) - by[:, None]
    inside = (places >= 0) & (places < lengths[:, None])
    found = sounds[np.arange(len(sounds))[:, None], np.clip(places, 0, sounds.shape[1] - 1)]
    used = np.arange(sounds.shape[1]) < lengths[:, None]
    keep, pad = (inside, used) if sounds.ndim == 2 else (inside[:, :, None], used[:, :, None])
    return np.where(pad, np.where(keep, found, silence), sounds)


def noisy(sounds: Array, lengths: Array, least: float, random: np.random.Generator) -> Array:
    """White noise on each sound, by a ratio of powers of its own, and none on padding."""
    flat = sounds.reshape(len(sounds), sounds.shape[1], -1)
    used = (np.arange(sounds.shape[1]) < lengths[:, None])[:, :, None]
    values = np.maximum(lengths, 1) * flat.shape[2]
    power = (np.square(flat, dtype=np.float64) * used).sum(axis=(1, 2)) / values
    ratio = 10 ** (random.uniform(least, least + _RANGE, (len(sounds),)) / 10)
    noise = random.standard_normal(flat.shape, dtype=np.float32)
    found: Array = flat + noise * used * np.sqrt(power / ratio)[:, None, None]
    return found.reshape(sounds.shape)


def stretches(size: int, lengths: Array, share: float, random: np.random.Generator) -> Mask:
    """One stretch of each row, within its length: bool [rows, size]."""
    wide = np.floor(random.uniform(0, share, len(lengths)) * lengths)
    first = np.floor(random.uniform(0, 1, len(lengths)) * (lengths - wide + 1))
    at = np.arange(size)
    found: Mask = (at >= first[:, None]) & (at < (first + wide)[:, None])
    return found


def spectrogram(waveform: Array) -> Array:
    """Of 1 waveform: log power float32 [frames, frequencies], for the eye."""
    padded = np.pad(waveform, (0, max(0, _WINDOW - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)) ** 2
    found: Array = np.log(power + 1e-6).astype(np.float32)
    return found


def _lengths(batch: Examples, name: str) -> Array:
    sounds = batch.inputs[name]
    return batch.ragged[name] if name in batch.ragged else np.full(len(sounds), sounds.shape[1])


def _quiet(sounds: Array, lengths: Array) -> float:
    """What stands for nothing heard in spectrograms: their mean, as in the paper."""
    used = (np.arange(sounds.shape[1]) < lengths[:, None])[:, :, None]
    return float((sounds * used).sum(dtype=np.float64) / max(1, int(lengths.sum()) * sounds.shape[2]))


def _picture(shown: Sequence[Array]) -> bytes:
    """Spectrograms below each other, as PNG: bright is loud."""
    from PIL import Image

    low, high = float(shown[0].min()), float(shown[0].max())
    gray: list[Any] = [np.clip((part.T[::-1] - low) / max(high - low, 1e-9), 0, 1) for part in shown]
    gap = np.ones((3, gray[0].shape[1]))
    whole = (np.concatenate([gray[0], gap, gray[1]]) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(whole).resize((560, 2 * 160)).save(buffer, format="PNG")
    return buffer.getvalue()
