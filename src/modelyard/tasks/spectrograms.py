"""Sounds as log-mel spectrograms: 25 ms windows (Hann) every 10 ms, triangular filters evenly spaced in mel.

Davis and Mermelstein 1980, Comparison of parametric representations for monosyllabic word recognition, section II;
mel is 2595 log10(1 + f / 700) (O'Shaughnessy 1987, Speech Communication, page 150). In NumPy, ahead of the engine:
training, evaluation and serving run the same lines.
"""

import io
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import sounds

WINDOW: Final = 400
"""Samples of a window, 25 ms."""
HOP: Final = 160
"""Samples between windows, 10 ms."""
A_SECOND: Final = sounds.RATE // HOP
_BINS: Final = 512  # of the Fourier transform
_LOWEST: Final = 20.0  # Hz
_FLOOR: Final = (
    1e-6  # of the filters' power, with samples from -1 to 1: -60 dB is what 16 bits leave of silence
)
_TOGETHER: Final = 4096  # windows that are transformed at a time

Spectrogram = npt.NDArray[np.float32]
"""[frames, mels]: natural logarithms of power, where nothing else is said."""


def log_mel(samples: sounds.Samples, mels: int) -> Spectrogram:
    """int16 [samples] at 16 kHz to float32 [frames, mels]; a sound shorter than a window is one frame."""
    if len(samples) < WINDOW:
        samples = np.pad(samples, (0, WINDOW - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    out = np.empty((len(windows), mels), np.float32)
    filters, hann = _filters(mels), _hann()
    for start in range(0, len(windows), _TOGETHER):
        part = windows[start : start + _TOGETHER] * hann
        spectrum = np.fft.rfft(part, _BINS, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        out[start : start + len(part)] = np.log(power @ filters + _FLOOR)
    return out


def of_file(data: bytes, mels: int, most_seconds: int) -> Spectrogram:
    """`log_mel` of a sound file. Raises as `sounds.decode` does."""
    return log_mel(sounds.decode(data, most_seconds=most_seconds), mels)


def of_files(files: Sequence[bytes], mels: int, most_seconds: int) -> list[Spectrogram]:
    """One of each file. Raises as `sounds.decode` does, naming the row where there are several."""
    found = []
    for row, data in enumerate(files):
        try:
            found.append(of_file(data, mels, most_seconds))
        except InvalidInput as error:
            if len(files) == 1:
                raise
            raise type(error)(f"sound {row}: {error.what}", came=error.came, allowed=error.allowed) from error
    return found


def trimmed(spectrogram: Spectrogram, decibels: float) -> Spectrogram:
    """Without the frames at both ends that are so much quieter than the loudest one."""
    loudness = np.log(np.exp(spectrogram).sum(axis=1))
    loud = np.flatnonzero(loudness >= loudness.max() - decibels * np.log(10) / 10)
    return spectrogram[loud[0] : loud[-1] + 1]


def levelled(spectrogram: Spectrogram) -> Spectrogram:
    """Mean 0 and deviation 1 in each band over the sound's own frames: what a microphone, a room and loudness do to
    a spectrogram is much alike in all of its frames (Atal 1974, on cepstra; Viikki and Laurila 1998)."""
    mean, deviation = spectrogram.mean(axis=0), spectrogram.std(axis=0)
    found: Spectrogram = (spectrogram - mean) / np.maximum(deviation, 0.1)
    return found


def fitted(spectrogram: Spectrogram, frames: int) -> Spectrogram:
    """So many frames: of a longer one the stretch with the largest sum; a shorter one in the middle of zeros."""
    spare = len(spectrogram) - frames
    if spare > 0:
        ahead = np.concatenate([[0.0], np.cumsum(spectrogram.sum(axis=1, dtype=np.float64))])
        start = int(np.argmax(ahead[frames:] - ahead[:-frames]))
        return spectrogram[start : start + frames]
    return np.pad(spectrogram, ((-spare // 2, -spare - -spare // 2), (0, 0)))


def picture(spectrogram: npt.NDArray[Any]) -> bytes:
    """PNG of [frames, mels]: time to the right, low bands at the bottom, quiet dark."""
    from matplotlib import colormaps
    from PIL import Image

    low, high = np.percentile(spectrogram, [1, 99])
    shade = np.clip((spectrogram - low) / max(float(high - low), 1e-6), 0, 1)
    colours = (colormaps["magma"](shade.T[::-1])[..., :3] * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours.repeat(2, axis=0).repeat(2, axis=1)).save(file, "PNG")
    return file.getvalue()


@cache
def _hann() -> npt.NDArray[np.float32]:
    """Of samples as int16; the division makes them -1 to 1."""
    return (np.hanning(WINDOW + 1)[:-1] / 32_768).astype(np.float32)


@cache
def _filters(mels: int) -> npt.NDArray[np.float32]:
    """[bins of power, mels], each a triangle with the height 1."""
    hertz = np.arange(_BINS // 2 + 1) * sounds.RATE / _BINS
    edges = np.linspace(_mel(_LOWEST), _mel(sounds.RATE / 2), mels + 2)
    corners = 700 * (10 ** (edges / 2595) - 1)
    rising = (hertz[:, None] - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - hertz[:, None]) / np.diff(corners)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))
