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


def test_there_is_nothing_to_evaluate():
    for call in (
        lambda: TASK.targets(["a"], ()),
        lambda: TASK.main(OUTPUTS, [0]),
        lambda: TASK.metrics(OUTPUTS, [0], ()),
    ):
        with pytest.raises(InvalidInput, match="no good answer"):
            call()
