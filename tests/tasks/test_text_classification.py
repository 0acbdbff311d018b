import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput, UnknownName
from text_models import preprocessing

TASK = tasks.load("text-classification")
LABELS = ("bad", "fair", "good")
LOGITS = np.array([[0.0, 1.0, 3.0], [2.0, -1.0, 0.0]], np.float32)
POWERS = np.exp(LOGITS)
OUTPUTS = {"logits": LOGITS, "probabilities": POWERS / POWERS.sum(axis=1, keepdims=True)}


def scores(answers, row=0):
    return {a["label"]: a["score"] for a in answers[row]}


def test_answers_are_labels_by_falling_score():
    answers = TASK.encode(OUTPUTS, LABELS, {})
    assert [a["label"] for a in answers[0]] == ["good", "fair", "bad"]
    assert [a["label"] for a in answers[1]] == ["bad", "good", "fair"]
    assert sum(scores(answers).values()) == pytest.approx(1)
    assert [len(row) for row in TASK.encode(OUTPUTS, LABELS, {"top_k": 2})] == [2, 2]


def test_functions_are_of_the_logits():
    assert scores(TASK.encode(OUTPUTS, LABELS, {"function_to_apply": "none"})) == dict(
        zip(LABELS, [0, 1, 3], strict=True)
    )
    found = scores(TASK.encode(OUTPUTS, LABELS, {"function_to_apply": "sigmoid"}))
    assert found["good"] == pytest.approx(1 / (1 + np.exp(-3)))
    found = scores(TASK.encode(OUTPUTS, LABELS, {"function_to_apply": "softmax"}))
    assert found == pytest.approx(scores(TASK.encode(OUTPUTS, LABELS, {})))
    with pytest.raises(InvalidInput, match="no logits"):
        TASK.encode({"probabilities": OUTPUTS["probabilities"]}, LABELS, {"function_to_apply": "none"})


@pytest.mark.parametrize(
    "parameters", [{"top_k": 0}, {"top_k": "2"}, {"function_to_apply": "tanh"}, {"truncate": 1}, {"topk": 2}]
)
def test_other_parameters_are_refused(parameters):
    with pytest.raises(InvalidInput):
        TASK.encode(OUTPUTS, LABELS, parameters)
    with pytest.raises(UnknownName, match="did you mean 'top_k'"):
        TASK.encode(OUTPUTS, LABELS, {"topk": 1})


def test_the_signature_is_a_text_in_and_scores_out():
    signature = TASK.signature(preprocessing(), LABELS)
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("text", "BYTES", (-1,))]
    assert [(t.name, t.shape) for t in signature.outputs] == [("probabilities", (-1, 3)), ("logits", (-1, 3))]
    tensors = TASK.tensors(preprocessing(inputs=["input_ids", "attention_mask"]), LABELS)
    assert [(t.name, t.datatype, t.shape) for t in tensors.inputs] == [
        ("input_ids", "INT64", (-1, -1)), ("attention_mask", "INT64", (-1, -1))
    ]  # fmt: skip


def test_figures_are_those_of_a_classifier():
    targets = TASK.targets(np.array(["good", "fair"], object), LABELS)
    assert targets.tolist() == [2, 1]
    found = TASK.metrics(OUTPUTS, targets, LABELS)
    assert found.values["accuracy"] == TASK.main(OUTPUTS, targets) == 0.5
    assert {"f1_macro", "log_loss", "calibration_error"} <= set(found.values)
    assert found.confusion == ((0, 0, 0), (1, 0, 0), (0, 0, 1))
