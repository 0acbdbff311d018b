import numpy as np
import pytest

from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks import spectrograms
from modelyard.tasks.sounds import RATE
from speech_samples import tone, wav

pytest.importorskip("av")


def test_a_tone_stands_in_the_band_of_its_pitch():
    found = spectrograms.log_mel(tone(1.0), 64)
    assert found.shape == (98, 64)
    assert found.dtype == np.float32
    band = np.bincount(found.argmax(axis=1)).argmax()
    edges = np.linspace(spectrograms._mel(20), spectrograms._mel(8000), 66)
    low, high = 700 * (10 ** (edges[[band, band + 2]] / 2595) - 1)
    assert low < 440 < high


def test_the_power_of_a_tone_is_that_of_its_samples():
    """By hand: a sine of amplitude a under a Hann window of n samples has a peak of (a n / 4)^2."""
    loud, quiet = (spectrograms.log_mel(tone(1.0, loudness=n), 64).max(axis=1)[10] for n in (16_384, 1638))
    assert loud - quiet == pytest.approx(np.log(100), abs=0.02)
    assert loud < np.log((0.5 * 400 / 4) ** 2 * 4)  # of the peak's neighbours too
    assert loud > np.log((0.5 * 400 / 4) ** 2 / 4)


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 560, RATE])
def test_frames_are_whole_windows_but_one_at_least(samples):
    assert len(spectrograms.log_mel(np.zeros(samples, np.int16), 40)) == 1 + max(0, samples - 400) // 160


def test_long_sounds_are_the_same_in_parts(monkeypatch):
    samples = np.random.default_rng(0).integers(-9999, 9999, 2 * RATE).astype(np.int16)
    whole = spectrograms.log_mel(samples, 64)
    monkeypatch.setattr(spectrograms, "_TOGETHER", 7)
    np.testing.assert_allclose(spectrograms.log_mel(samples, 64), whole, atol=1e-5)


def test_silence_at_the_ends_is_cut_off_and_loudness_levelled():
    silence = np.zeros(RATE // 2, np.int16)
    samples = np.concatenate([silence, tone(1.0), silence])
    whole = spectrograms.log_mel(samples, 64)
    found = spectrograms.trimmed(whole, 35)
    assert len(whole) == 198
    assert len(found) == pytest.approx(100, abs=4)
    louder = spectrograms.levelled(spectrograms.trimmed(spectrograms.log_mel(samples // 2, 64), 35))
    assert np.abs(louder.mean(axis=0)).max() < 1e-3
    assert len(spectrograms.trimmed(spectrograms.log_mel(silence, 64), 35)) == 48


def test_longer_sounds_show_their_loudest_stretch_and_shorter_ones_stand_in_the_middle():
    loud = np.zeros((10, 2), np.float32)
    loud[4:7] = 1
    np.testing.assert_array_equal(spectrograms.fitted(loud, 3), np.ones((3, 2)))
    np.testing.assert_array_equal(
        spectrograms.fitted(np.ones((3, 2), np.float32), 6)[:, 0], [0, 1, 1, 1, 0, 0]
    )
    np.testing.assert_array_equal(spectrograms.fitted(loud, 10), loud)


def test_a_bad_file_is_named_by_its_row():
    good = wav(tone(0.1))
    with pytest.raises(InvalidInput, match="sound 1: the audio is no sound file"):
        spectrograms.of_files([good, b"x", good], 64, 10)
    with pytest.raises(TooLarge, match="more than 1 s"):
        spectrograms.of_files([wav(tone(1.5))], 64, 1)


def test_a_picture_is_a_png():
    assert spectrograms.picture(spectrograms.log_mel(tone(0.3), 64)).startswith(b"\x89PNG")
    assert spectrograms.picture(np.zeros((1, 8))).startswith(b"\x89PNG")
