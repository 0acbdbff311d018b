"""What tasks of sounds share: a caller's files, and their samples by FFmpeg's decoders (PyAV), with bounds: what a
small file unpacks to is not trusted.

Only containers that hold sound themselves are opened: playlists (HLS, ffconcat) would make FFmpeg read other files
and addresses. What a header says of its length is not looked at: files that were written to a pipe say anything.
"""

import base64
import binascii
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput, MissingExtra, TooLarge
from modelyard.types.tensor import TensorSpec

RATE: Final = 16_000
"""Samples a second of what is decoded."""
MOST_SECONDS: Final = 3600
"""An hour: 115 MB of samples."""
MOST_BYTES: Final = 64 << 20
"""Of a file."""
COLUMN: Final = "audio"
FILES: Final = "wav, mp3, flac, ogg, m4a, mp4, webm, aac"
_CONTAINERS: Final = "wav,mp3,flac,ogg,mov,matroska,webm,aac,mpeg"  # FFmpeg's names of demuxers
_GROUP: Final = 1 << 16
"""Samples that are resampled together: frames of some codecs are tiny."""
_log = logging.getLogger(__name__)

Samples = npt.NDArray[np.int16]
Array = npt.NDArray[Any]
_ALLOWED: Final = "a sound file's bytes, or base64 of them"


def input_spec() -> TensorSpec:
    """What callers send: `audio` BYTES [-1], a sound file each."""
    return TensorSpec(name=COLUMN, datatype="BYTES", shape=(-1,))


def sample(inputs: Any) -> dict[str, Any]:
    """A sound file's bytes, base64 of them, a list of either, or {"audio": ...}, into the column `audio`."""
    if isinstance(inputs, Mapping) and inputs.keys() == {COLUMN}:
        inputs = inputs[COLUMN]
    several = inputs if isinstance(inputs, list) else [inputs]
    return {COLUMN: [_from_json(one) for one in several]}


def files(values: list[Any]) -> Array:
    """Sound files, one a row, as objects [rows]: nothing is decoded. Raises InvalidInput, TooLarge."""
    out = np.empty(len(values), object)
    for row, value in enumerate(values):
        if not isinstance(value, bytes) or not value:
            raise InvalidInput(f"row {row} is no sound file", came=type(value).__name__, allowed=_ALLOWED)
        if len(value) > MOST_BYTES:
            raise TooLarge(
                f"the sound file of row {row}", came=f"{len(value):,} bytes", allowed=f"{MOST_BYTES:,} bytes"
            )
        out[row] = value
    if not values:
        raise InvalidInput("there is no sound file", allowed=_ALLOWED)
    return out


def decode(
    data: bytes, *, check: Callable[[], None] = lambda: None, most_seconds: int = MOST_SECONDS
) -> Samples:
    """One channel of sound, int16 [samples] at 16,000 a second.

    Args:
        check: called between parts; what it raises ends the decoding.

    Raises:
        InvalidInput: no sound that can be read. TooLarge: longer than `most_seconds`; decoding stops there.
        MissingExtra: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingExtra("av", "sound") from None
    if not data:
        raise InvalidInput("the audio is empty", allowed=FILES)
    try:
        samples = _joined(_parts(av, data), most_seconds, check)
    except (av.FFmpegError, ValueError, IndexError, OverflowError) as error:
        _log.info("audio: %s", error)
        raise _unreadable() from None
    if len(samples) == 0:
        raise _unreadable()
    return samples


def _from_json(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise InvalidInput("this is no sound file", came=type(value).__name__, allowed=_ALLOWED)
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("a sound file as text must be base64", came=value[:40]) from None


def _joined(parts: Iterator[Samples], most: int, check: Callable[[], None]) -> Samples:
    found = bytearray()
    for part in parts:
        check()
        found += part.tobytes()
        if len(found) > most * RATE * 2:
            raise TooLarge("the audio is too long", came=f"more than {most} s", allowed=f"{most} s")
    return np.frombuffer(found, np.int16)


def _parts(av: Any, data: bytes) -> Iterator[Samples]:
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
    with av.open(io.BytesIO(data), mode="r", metadata_errors="ignore", options=options) as container:
        if not container.streams.audio:
            raise ValueError("no sound in it")
        stream = container.streams.audio[0]
        yield from _resampled(av, _grouped(av, _frames(av, container, stream)))


def _frames(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """Frames of one stream; what is broken between them is passed over, as players do."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue
        for frame in frames:
            frame.pts = None  # gaps and jumps in time are not filled with silence
            yield frame


def _grouped(av: Any, frames: Iterator[Any]) -> Iterator[Any]:
    """Frames put together, as long as they have one form."""
    fifo, form = av.AudioFifo(), None
    for frame in frames:
        if form not in (None, _form(frame)):
            yield from _rest(fifo)
            fifo = av.AudioFifo()
        form = _form(frame)
        fifo.write(frame)
        if fifo.samples >= _GROUP:
            yield from _rest(fifo)
    yield from _rest(fifo)


def _form(frame: Any) -> tuple[Any, ...]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _rest(fifo: Any) -> Iterator[Any]:
    while fifo.samples and (frame := fifo.read(_GROUP, partial=True)) is not None:
        frame.pts = None
        yield frame


def _resampled(av: Any, frames: Iterator[Any]) -> Iterator[Samples]:
    resampler, form = None, None
    for frame in frames:
        if form != _form(frame):  # a stream may change on its way
            yield from _ended(resampler)
            resampler, form = av.AudioResampler(format="s16", layout="mono", rate=RATE), _form(frame)
        assert resampler is not None
        for made in resampler.resample(frame):
            yield made.to_ndarray().reshape(-1)
    yield from _ended(resampler)


def _ended(resampler: Any) -> Iterator[Samples]:
    for made in resampler.resample(None) if resampler is not None else ():
        yield made.to_ndarray().reshape(-1)


def _unreadable() -> InvalidInput:
    return InvalidInput("the audio is no sound file that can be read", allowed=FILES)
