import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput, UnknownName
from text_models import preprocessing

TASK = tasks.load("feature-extraction")
OUTPUTS = {"embedding": np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)}


def test_a_vector_a_row():
    assert TASK.encode(OUTPUTS, (), {}) == [[3.0, 4.0], [0.0, 0.0]]
    assert TASK.encode(OUTPUTS, (), {"normalize": False}) == [[3.0, 4.0], [0.0, 0.0]]


def test_vectors_of_length_one():
    first, zero = TASK.encode(OUTPUTS, (), {"normalize": True})
    assert first == pytest.approx([0.6, 0.8])
    assert zero == [0.0, 0.0]


@pytest.mark.parametrize(
    "parameters", [{"normalize": "yes"}, {"truncation_direction": "up"}, {"normalise": True}]
)
def test_other_parameters_are_refused(parameters):
    with pytest.raises(InvalidInput):
        TASK.encode(OUTPUTS, (), parameters)
    with pytest.raises(UnknownName, match="did you mean 'normalize'"):
        TASK.encode(OUTPUTS, (), {"normalise": True})


def test_the_signature_is_a_text_in_and_a_vector_out():
    signature = TASK.signature(preprocessing(width=384), ())
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("text", "BYTES", (-1,))]
    assert [(t.name, t.datatype, t.shape) for t in signature.outputs] == [("embedding", "FP32", (-1, 384))]


def test_neighbours_are_of_words_that_were_trained_here():
    with pytest.raises(InvalidInput, match="no words to be neighbours"):
        TASK.encode(OUTPUTS, (), {"neighbours": 3})
    names = [t.name for t in TASK.signature(preprocessing(width=3, words=True), ()).outputs]
    assert names == ["embedding", "neighbours", "similarity"]


def test_vectors_are_compared_by_what_they_stand_for():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    targets = TASK.targets(np.array(["sport", "sport", "music", "music"], object), ())
    found = TASK.metrics({"embedding": vectors}, targets, ())
    assert found.values["similarity_correlation"] == TASK.main({"embedding": vectors}, targets) > 0.8
    assert found.main == "similarity_correlation"
    assert found.values["neighbours_alike"] == pytest.approx(
        found.values["neighbours_alike_by_chance"], abs=0.05
    )
