"""Changes of sounds, as waveforms and as spectrograms, of one length and of several."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Examples
from modelyard.training.augment import random_of
from modelyard.training.augment.audio import Audio, AudioAugmenter, noisy, shifted, spectrogram, stretches

ROWS = 5


def _waves(size: int = 400) -> Any:
    time = np.arange(size) / 16_000
    return np.stack([0.1 * (row + 1) * np.sin(2 * np.pi * 440 * time) for row in range(ROWS)]).astype("f4")


def _augmenter(sounds: Any, **given: Any) -> AudioAugmenter:
    job: Any = SimpleNamespace(
        labels=("yes", "no"),
        shape=SimpleNamespace(input=SimpleNamespace(name="sound")),
        train=Examples(inputs={"sound": sounds}),
    )
    return AudioAugmenter(Audio(**given), job)


def test_noise_has_the_ratio_that_was_asked_for_and_leaves_padding() -> None:
    x = np.tile(_waves(40_000), (20, 1))
    lengths = np.full(len(x), 30_000)
    x[:, 30_000:] = 0
    found = noisy(x, lengths, 10.0, np.random.default_rng(0))
    assert (found[:, 30_000:] == 0).all()
    noise = (found - x)[:, :30_000]
    ratio = 10 * np.log10(np.square(x[:, :30_000]).mean(axis=1) / np.square(noise).mean(axis=1))
    assert 9.8 < ratio.min() < 13
    assert 27 < ratio.max() < 30.2


def test_shifted_sounds_stay_within_their_length() -> None:
    x = np.arange(1, 21, dtype=np.float32).reshape(2, 10).copy()
    x[1, 6:] = -5  # padding
    found = shifted(x, np.array([10, 6]), 0.5, 0.0, np.random.default_rng(3))
    assert (found[1, 6:] == -5).all()
    for row, length in ((0, 10), (1, 6)):
        kept = found[row, :length][found[row, :length] != 0]
        assert len(kept) >= length // 2
        assert (np.diff(kept) == 1).all()


def test_stretches_are_of_a_bounded_share() -> None:
    found = stretches(50, np.full(500, 40), 0.25, np.random.default_rng(0))
    assert not found[:, 40:].any()
    widths = found.sum(axis=1)
    assert widths.min() == 0
    assert 8 <= widths.max() <= 10
    changes = np.abs(np.diff(found.astype(int), axis=1)).sum(axis=1)
    assert changes.max() <= 2


def test_spectrograms_lose_times_and_bands() -> None:
    x = np.random.default_rng(0).normal(size=(ROWS, 60, 20)).astype(np.float32)
    lengths = np.array([60, 50, 40, 30, 20])
    batch = Examples(inputs={"sound": x}, ragged={"sound": lengths})
    augmenter = _augmenter(x, time_masks=2, time_width=0.3, frequency_masks=1, frequency_width=0.5)
    found, again = (augmenter(batch, random_of(0, 1, 1)).inputs["sound"] for _ in range(2))
    assert np.array_equal(found, again)
    assert found.dtype == np.float32
    hidden = found != x
    times = hidden.all(axis=2)
    bands = hidden[:, :20].all(axis=1)
    assert times.any(axis=1).sum() >= 3
    assert bands.any(axis=1).sum() >= 3
    assert len(np.unique(found[hidden])) == 1  # the mean


def test_noise_on_spectrograms_is_by_how_they_vary() -> None:
    x = np.random.default_rng(0).normal(7, 2, size=(ROWS, 400, 20)).astype(np.float32)
    found = _augmenter(x, noise=0.0)(Examples(inputs={"sound": x}), random_of(0, 1, 1)).inputs["sound"]
    assert (found - x).std(axis=(1, 2)).max() < 2.2
    assert (found - x).std(axis=(1, 2)).min() > 0.15
    assert found.mean() == pytest.approx(7, abs=0.1)


def test_bands_of_waveforms_and_whole_numbers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="frequency_masks needs spectrograms"):
        _augmenter(_waves(), frequency_masks=1)
    with pytest.raises(InvalidInput, match="needs waveforms or spectrograms; came: sound int64"):
        _augmenter(np.zeros((3, 4), np.int64), shift=0.1)


def test_the_report_has_a_spectrogram_above_another() -> None:
    x = _waves(8000)
    augmenter = _augmenter(x, noise=0.0, shift=0.2)
    rows = Examples(inputs={"sound": x}, targets={"target": np.array([0, 1, 0, 1, 0])})
    found = augmenter.exhibit(rows, [augmenter(rows, random_of(0, 1, 1))])
    assert [picture.caption for picture in found.pictures] == ["yes", "no", "yes", "no", "yes"]
    assert Image.open(io.BytesIO(found.pictures[0].png)).size == (560, 320)


def test_a_tone_stands_at_its_frequency() -> None:
    found = spectrogram(_waves(4000)[4])
    assert found.shape == (23, 201)
    assert abs(int(found.mean(axis=0).argmax()) * 40 - 440) <= 40
