import base64

import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput, TooLarge, UnknownName
from modelyard.tasks import automatic_speech_recognition

TASK = tasks.load("automatic-speech-recognition")
SOUND = b"RIFF...."


def test_the_signature_is_a_file_in_and_a_text_out():
    signature = TASK.signature({}, ())
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("audio", "BYTES", (-1,))]
    assert [(t.name, t.datatype, t.shape) for t in signature.outputs] == [("text", "BYTES", (-1,))]
    assert TASK.tensors({}, ()) == signature


@pytest.mark.parametrize(
    "value", [SOUND, base64.b64encode(SOUND).decode(), [SOUND], {"audio": SOUND}, {"audio": [SOUND]}]
)
def test_a_sound_file_comes_as_bytes_or_base64(value):
    arrays = TASK.decode(TASK.sample(value), {})
    assert arrays["audio"].tolist() == [SOUND]
    assert TASK.transform(arrays, {})["audio"].tolist() == [SOUND]


@pytest.mark.parametrize("value", [1, "not base64!", [None], {"sound": SOUND}, [], b"", [SOUND, b""]])
def test_other_values_are_refused(value):
    with pytest.raises(InvalidInput):
        TASK.decode(TASK.sample(value), {})


def test_other_columns_and_large_files_are_refused(monkeypatch):
    with pytest.raises(InvalidInput, match="one column"):
        TASK.decode({"audio": [SOUND], "text": ["x"]}, {})
    monkeypatch.setattr(automatic_speech_recognition, "MOST_BYTES", 4)
    with pytest.raises(TooLarge, match="row 0"):
        TASK.decode({"audio": [SOUND]}, {})


def test_answers():
    outputs = {"text": np.array([b" Good morning."], object)}
    assert TASK.encode(outputs, (), {}) == [{"text": " Good morning."}]
    with pytest.raises(UnknownName):
        TASK.encode(outputs, (), {"temperature": 1})


def test_it_is_brought_and_not_evaluated():
    for call in (
        lambda: TASK.check(None, ""),
        lambda: TASK.fit({}, None, {}),
        lambda: TASK.targets(["a"], ()),
        lambda: TASK.main({}, [0]),
        lambda: TASK.metrics({}, [0], ()),
    ):
        with pytest.raises(InvalidInput):
            call()
