import base64

import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput, TooLarge, UnknownName
from modelyard.types.dataset import Column, Schema
from speech_samples import RATE, tone, wav

pytest.importorskip("av")
TASK = tasks.load("audio-classification")
SCHEMA = Schema(
    columns=(Column(name="sound", kind="audio"), Column(name="word", kind="category")), label="word"
)
LABELS = ("high", "low")


def loud(seconds):
    """A tone with silence around it."""
    silence = np.zeros(RATE // 4, np.int16)
    return wav(np.concatenate([silence, tone(seconds), silence]))


@pytest.fixture(scope="module")
def fitted():
    files = [loud(0.2 + 0.01 * k) for k in range(20)]
    return TASK.fit({"sound": files}, SCHEMA, {})


def test_what_is_fitted(fitted):
    assert fitted["frames"] == pytest.approx(
        38, abs=5
    )  # 95 of 100 sounds of 0.2 to 0.39 s, without their silence
    assert fitted["mels"] == 64
    assert fitted["std"] > 0
    signature, tensors = TASK.signature(fitted, LABELS), TASK.tensors(fitted, LABELS)
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("audio", "BYTES", (-1,))]
    assert [(t.name, t.shape) for t in tensors.inputs] == [("spectrogram", (-1, fitted["frames"], 64))]
    assert tensors.outputs == signature.outputs
    assert TASK.features(fitted) == ["sound"]


def test_a_sound_comes_in_every_form_and_is_the_same(fitted):
    data = loud(0.3)
    for value in (data, base64.b64encode(data).decode(), [data], {"audio": data}):
        arrays = TASK.decode(TASK.sample(value), fitted)
        found = TASK.transform(arrays, fitted)["spectrogram"]
        assert found.shape == (1, fitted["frames"], 64)
        assert found.dtype == np.float32
    again = TASK.transform(TASK.decode({"sound": [data]}, fitted), fitted)["spectrogram"]
    np.testing.assert_array_equal(found, again)


def test_loudness_and_silence_around_it_change_nothing_much(fitted):
    near, far = (wav(np.pad(tone(0.3, loudness=n), (n, 9000 - n))) for n in (8000, 1000))
    found = TASK.transform(TASK.decode({"audio": [near, far]}, fitted), fitted)["spectrogram"]
    assert np.abs(found[0] - found[1]).mean() < 0.35


@pytest.mark.parametrize("value", [1, None, "not base64!", [], b"", {"sound": b"x"}, [b"RIFF", None]])
def test_other_values_are_refused(value, fitted):
    with pytest.raises(InvalidInput):
        TASK.transform(TASK.decode(TASK.sample(value), fitted), fitted)


def test_what_is_no_sound_is_named_by_its_row(fitted):
    with pytest.raises(InvalidInput, match="sound 1: the audio is no sound file that can be read"):
        TASK.transform(TASK.decode({"audio": [loud(0.1), b"x" * 50]}, fitted), fitted)
    with pytest.raises(TooLarge, match="more than 60 s"):
        TASK.transform(TASK.decode({"audio": [wav(np.zeros(61 * RATE, np.int16))]}, fitted), fitted)


def test_answers_are_labels_with_scores():
    outputs = {"probabilities": np.array([[0.25, 0.75]], np.float32)}
    assert TASK.encode(outputs, LABELS, {})[0][0] == {"label": "low", "score": 0.75}
    assert len(TASK.encode(outputs, LABELS, {"top_k": 1})[0]) == 1
    with pytest.raises(UnknownName):
        TASK.encode(outputs, LABELS, {"language": "en"})


def test_data_without_one_column_of_sounds_is_refused():
    with pytest.raises(InvalidInput, match="needs exactly one audio column"):
        TASK.check(Schema(columns=SCHEMA.columns[1:], label="word"), "word")
    assert TASK.check(SCHEMA, "word") == ["sound"]
    with pytest.raises(InvalidInput, match="missing values; came: 1 of 2"):
        TASK.fit({"sound": [loud(0.1), None]}, SCHEMA, {})


def test_what_a_report_shows(fitted):
    columns = {"sound": [loud(0.2), loud(0.3)], "word": np.array(["low", "high"], object)}

    def predict(arrays):
        return {"probabilities": np.tile(np.array([0.9, 0.1], np.float32), (len(arrays["audio"]), 1))}

    (shown,) = TASK.exhibits(predict, TASK.prepare(fitted), columns, LABELS)
    assert [p.caption for p in shown.pictures] == ["low: answered high (90%)", "high: answered high (90%)"]
    assert all(p.png.startswith(b"\x89PNG") for p in shown.pictures)
