"""faster-whisper's model as a replica needs it: it can be ended between windows, and its spectrogram is bounded."""

import threading
from typing import Any, Final

import numpy as np

from modelyard.errors import MissingExtra
from modelyard.tasks.sounds import Samples

_PART: Final = 6000
"""Frames of 10 ms of the spectrogram that are computed together."""


def model_class() -> Any:
    """faster-whisper's model that asks before each window whether to go on, and whose spectrogram takes little
    memory. Raises MissingExtra."""
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        raise MissingExtra("faster_whisper", "audio") from None

    class Model(WhisperModel):  # type: ignore[misc]
        feature_extractor: Any

        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            self.feature_extractor = _in_parts(self.feature_extractor)
            self._local = threading.local()

        def before_window(self, check: Any) -> None:
            """`check` is called in this thread before each window that it computes, also one without speech."""
            self._local.check = check

        def encode(self, features: Any) -> Any:
            self._local.check()
            return super().encode(features)

    return Model


def _in_parts(whole: Any) -> Any:
    """faster-whisper's log-mel spectrogram of int16 samples (section 2.2 of the paper), a minute at a time: an
    hour at once takes 2 GB."""

    class Extractor(type(whole)):  # type: ignore[misc]
        def __call__(self, samples: Samples, padding: int = 160, chunk_length: Any = None) -> Any:
            padded = np.pad(np.pad(samples, (0, padding)), self.n_fft // 2, mode="reflect")
            count = (len(padded) - self.n_fft) // self.hop_length  # the last one is left out
            mel = np.empty((len(self.mel_filters), count), np.float32)
            for start in range(0, count, _PART):
                end = min(start + _PART, count)
                mel[:, start:end] = self._power(
                    padded[start * self.hop_length : (end - 1) * self.hop_length + self.n_fft]
                )
            np.log10(np.maximum(mel, 1e-10, out=mel), out=mel)
            np.maximum(mel, mel.max() - 8.0, out=mel)
            mel += 4.0
            mel /= 4.0
            return mel

        def _power(self, samples: Samples) -> Any:
            window = np.hanning(self.n_fft + 1)[:-1].astype(np.float32)
            waves = self.stft(
                samples.astype(np.float32) / np.float32(32768), self.n_fft, self.hop_length, window=window,
                center=False, return_complex=True,
            )  # fmt: skip
            return self.mel_filters @ np.abs(waves.astype(np.complex64)) ** 2

    made = object.__new__(Extractor)
    made.__dict__ = whole.__dict__
    return made
