import base64

import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput, TooLarge, UnknownName
from modelyard.tasks import sounds
from modelyard.types.dataset import Column, Schema
from speech_samples import RATE, tone, wav

pytest.importorskip("av")
TASK = tasks.load("automatic-speech-recognition")
SOUND = b"RIFF...."
SCHEMA = Schema(columns=(Column(name="audio", kind="audio"), Column(name="text", kind="text")), label="text")


@pytest.fixture(scope="module")
def fitted():
    return TASK.fit({"audio": [b"not looked at"] * 2, "text": ["A bad cab!", "Don't"]}, SCHEMA, {})


# Of models that are brought: engines that read sound files themselves.


def test_the_signature_is_a_file_in_and_a_text_out(fitted):
    signature = TASK.signature({}, ())
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("audio", "BYTES", (-1,))]
    assert [(t.name, t.datatype, t.shape) for t in signature.outputs] == [("text", "BYTES", (-1,))]
    assert TASK.tensors({}, ()) == signature
    assert TASK.signature(fitted, ()) == signature


@pytest.mark.parametrize(
    "value", [SOUND, base64.b64encode(SOUND).decode(), [SOUND], {"audio": SOUND}, {"audio": [SOUND]}]
)
def test_a_sound_file_comes_as_bytes_or_base64(value):
    arrays = TASK.decode(TASK.sample(value), {})
    assert arrays["audio"].tolist() == [SOUND]
    assert TASK.transform(arrays, {})["audio"].tolist() == [SOUND]


@pytest.mark.parametrize("value", [1, "not base64!", [None], {"sound": SOUND}, [], b"", [SOUND, b""]])
def test_other_values_are_refused(value, fitted):
    for preprocessing in ({}, fitted):
        with pytest.raises(InvalidInput):
            TASK.decode(TASK.sample(value), preprocessing)


def test_other_columns_and_large_files_are_refused(monkeypatch):
    with pytest.raises(InvalidInput, match="one column"):
        TASK.decode({"audio": [SOUND], "text": ["x"]}, {})
    monkeypatch.setattr(sounds, "MOST_BYTES", 4)
    with pytest.raises(TooLarge, match="row 0"):
        TASK.decode({"audio": [SOUND]}, {})


def test_answers():
    outputs = {"text": np.array([b" Good morning."], object)}
    assert TASK.encode(outputs, (), {}) == [{"text": " Good morning."}]
    with pytest.raises(UnknownName):
        TASK.encode(outputs, (), {"temperature": 1})


# Of models that a recipe trains: spectrograms in, letters out.


def test_the_alphabet_is_that_of_the_training_transcripts(fitted):
    assert fitted["symbols"] == ["", " ", "'", *"abcdnot"]
    assert [(t.name, t.shape) for t in TASK.tensors(fitted, ()).inputs] == [
        ("spectrogram", (-1, -1, 64)),
        ("frames", (-1,)),
    ]
    assert TASK.tensors(fitted, ()).outputs[0].shape == (-1, -1, 10)


def test_sounds_of_several_lengths_lie_side_by_side(fitted):
    prepared = TASK.prepare(fitted)
    files = [wav(tone(0.5)), wav(tone(0.2)), wav(tone(0.21))]
    found = prepared.transform(prepared.decode({"audio": files}))
    assert found["frames"].tolist() == [48, 18, 19]
    assert found["spectrogram"].shape == (3, 48, 64)
    assert not found["spectrogram"][1, 18:].any()
    assert prepared.groups(prepared.decode({"audio": files})) == [[1, 2], [0]]
    alone = prepared.transform(prepared.decode({"audio": files[1:2]}))["spectrogram"]
    np.testing.assert_array_equal(alone[0], found["spectrogram"][1, :18])


def test_examples_have_the_letters_of_the_transcripts(fitted):
    prepared = TASK.prepare(fitted)
    columns = {"audio": [wav(tone(0.5)), wav(tone(0.2))]}
    examples = TASK.examples(prepared, columns, ["Bad, bad!", "zoo"], ())
    assert examples.targets["letters"].tolist() == [7, 2]  # there was no z in training
    assert "".join(prepared.symbols[k] for k in examples.targets["symbols"][0]) == "bad bad"
    assert examples.lengths.tolist() == [48 + 7, 18 + 2]


def test_what_the_engine_hears_becomes_text(fitted):
    prepared = TASK.prepare(fitted)
    path = [prepared.symbols.index(c) for c in ("", "b", "b", "a", "", "d", " ", "", "")]
    heard = np.log(np.eye(10, dtype=np.float32)[path] + 1e-9)[None].repeat(2, axis=0)
    outputs = {"log_probabilities": heard, "steps": np.array([9, 3])}
    assert prepared.complete({}, outputs)["text"].tolist() == [b"bad", b"b"]
    wide = TASK.prepare(fitted | {"beam": 8})
    assert wide.complete({}, outputs)["text"].tolist() == [b"bad", b"b"]
    known = TASK.fit({"audio": [b""], "text": ["dad bad"]}, SCHEMA, {"words": "training", "beam": 8})
    assert known["vocabulary"] == ["bad", "dad"]
    word = TASK.prepare(fitted | {"beam": 8, "vocabulary": ["bat", "dab"]})
    assert set(word.complete({}, outputs)["text"].tolist()) <= {b"bat", b"dab", b""}
    with pytest.raises(InvalidInput, match="needs a beam"):
        TASK.fit({"audio": [b""], "text": ["a"]}, SCHEMA, {"words": "training"})
    heard[0, 2, 1] = np.nan
    with pytest.raises(InvalidInput, match="no finite answer"):
        prepared.complete({}, outputs)


def test_what_is_too_long_is_refused(fitted):
    with pytest.raises(TooLarge, match="more than 30 s"):
        TASK.transform(TASK.decode({"audio": [wav(np.zeros(31 * RATE, np.int16))]}, fitted), fitted)


@pytest.mark.parametrize(
    ("columns", "target", "why"),
    [
        (SCHEMA.columns[1:], "text", "exactly one audio column"),
        (SCHEMA.columns, "words", "a target of texts"),
        (SCHEMA.columns, "audio", "exactly one audio column"),
        ((SCHEMA.columns[0], Column(name="n", kind="number")), "n", r"texts; came: n \(number\)"),
    ],
)
def test_data_that_does_not_fit_is_refused(columns, target, why):
    with pytest.raises(InvalidInput, match=why):
        TASK.check(Schema(columns=columns), target)


def test_its_figure_is_the_share_of_wrong_words():
    outputs = {"text": np.array([b"one too", b"three"], object)}
    targets = TASK.targets(["one two", "Three!"], ())
    assert TASK.main(outputs, targets) == pytest.approx(1 / 3)
    figures = TASK.metrics(outputs, targets, ())
    assert figures.values["word_error_rate"] == pytest.approx(1 / 3)
    assert not figures.higher_is_better
    assert [counts.tolist() for counts in TASK.counts(outputs, targets)] == [[1, 0], [2, 1]]
    with pytest.raises(InvalidInput, match="says nothing"):
        TASK.targets(["one", None], ())


def test_what_a_report_shows(fitted):
    columns = {"audio": [wav(tone(0.2)), wav(tone(0.3))], "text": np.array(["a bad", "cab"], object)}

    def predict(arrays):
        return {"text": np.array([b"a bad", b"cat"], object)}

    table, pictures = TASK.exhibits(predict, TASK.prepare(fitted), columns, ())
    assert table.rows == (("a bad", "a bad", ""), ("cab", "cat", "differs"))
    assert [p.caption for p in pictures.pictures] == ["said: a bad; heard: a bad", "said: cab; heard: cat"]
