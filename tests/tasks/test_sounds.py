import contextlib
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks import sounds
from speech_samples import RATE, encoded, tone, wav

pytest.importorskip("av")


def test_a_wav_is_its_samples():
    samples = tone(1.5)
    np.testing.assert_array_equal(sounds.decode(wav(samples)), samples)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("flac", "flac", RATE),
        ("mp3", "libmp3lame", 44_100),
        ("ogg", "libopus", 48_000),
        ("webm", "libopus", 48_000),
        ("mp4", "aac", 22_050),
        ("adts", "aac", RATE),
    ],
)
def test_every_container_at_every_rate_becomes_16_khz(container, codec, rate):
    found = sounds.decode(encoded(tone(2.0, rate=rate), container, codec, rate=rate))
    assert len(found) == pytest.approx(2 * RATE, abs=0.2 * RATE)
    spectrum = np.abs(np.fft.rfft(found[: 2 * RATE].astype(float)))
    assert np.argmax(spectrum) * RATE / len(found[: 2 * RATE]) == pytest.approx(440, abs=2)


def test_channels_become_one():
    left = np.repeat(tone(1.0), 2)
    left[1::2] = 0
    found = sounds.decode(wav(left, channels=2))
    np.testing.assert_allclose(found, tone(1.0) / 2, atol=1)


def test_hours_in_a_small_file_are_refused_wherever_the_header_says_so():
    data = bytearray(encoded(np.zeros(RATE * 4000, np.int16), "flac", "flac"))
    assert len(data) < 1 << 20
    with pytest.raises(TooLarge, match="too long; came: more than 3600 s"):
        sounds.decode(bytes(data))
    data[21] &= 0xF0  # STREAMINFO's count of samples: unknown
    data[22:26] = bytes(4)
    with pytest.raises(TooLarge):
        sounds.decode(bytes(data))


def test_decoding_stops_at_the_cap():
    parts = 0

    def count():
        nonlocal parts
        parts += 1

    with pytest.raises(TooLarge):
        sounds.decode(wav(np.zeros(RATE * 600, np.int16)), check=count, most_seconds=10)
    assert parts <= 10 * RATE // (1 << 16) + 2


def test_a_header_that_says_too_much_is_not_believed():
    data = bytearray(wav(tone(1.0)))
    data[40:44] = b"\xff\xff\xff\xff"  # as of a file that was written to a pipe
    data[4:8] = b"\xff\xff\xff\xff"
    assert len(sounds.decode(bytes(data))) == RATE


def test_what_a_check_raises_ends_the_decoding():
    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        sounds.decode(wav(tone(1.0)), check=stop)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"RIFF" + bytes(100),
        b"ID3" + bytes(1000),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        wav(tone(1.0))[:44],
        wav(np.zeros(0, np.int16)),
        encoded(tone(1.0), "flac", "flac")[:50],
        b"OggS" * 1000,
    ],
)
def test_broken_audio_is_invalid_with_a_general_text(data):
    with pytest.raises(InvalidInput) as found:
        sounds.decode(data)
    assert "FFmpeg" not in found.value.message
    assert "wav, mp3" in found.value.message


def test_damage_is_passed_over_or_refused():
    good = bytearray(encoded(tone(3.0), "mp3", "libmp3lame"))
    draw = np.random.default_rng(0)
    for _ in range(30):
        bad = bytearray(good)
        for place in draw.integers(0, len(bad), 40):
            bad[place] = draw.integers(256)
        with contextlib.suppress(InvalidInput):
            assert sounds.decode(bytes(bad)).dtype == np.int16


def test_playlists_reach_for_nothing(tmp_path: Path, monkeypatch):
    """Without its whitelists, FFmpeg decodes the file that the third one names."""
    target = tmp_path / "secret.wav"
    target.write_bytes(wav(tone(1.0)))
    monkeypatch.chdir(tmp_path)
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{target}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{target}'\n",
        "ffconcat version 1.0\nfile secret.wav\n",
        f"<MPD><Period><BaseURL>file://{target}</BaseURL></Period></MPD>",
    ):
        with pytest.raises(InvalidInput):
            sounds.decode(text.encode())
