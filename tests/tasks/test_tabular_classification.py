import subprocess
import sys

import numpy as np
import pytest

from modelyard import nets, tasks
from modelyard.errors import InvalidInput, UnknownName
from modelyard.types.dataset import Column, Schema

TASK = tasks.load("tabular-classification")


def test_every_class_is_answered_unless_top_k_says_otherwise() -> None:
    outputs = {"probabilities": np.array([[0.1, 0.1, 0.1, 0.1, 0.1, 0.5]], np.float32)}
    labels = tuple("abcdef")
    assert len(TASK.encode(outputs, labels, {})[0]) == 6
    assert TASK.encode(outputs, labels, {"top_k": 1})[0][0]["label"] == "f"


def test_the_target_must_be_classes() -> None:
    schema = Schema(columns=(Column(name="a", kind="number"), Column(name="y", kind="number")))
    with pytest.raises(InvalidInput, match="target of classes"):
        TASK.check(schema, "y")


def test_an_unknown_task_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'tabular-classification'"):
        tasks.load("tabular-clasification")


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_says_its_name_and_has_a_default_net_where_nets_take_it(name: str) -> None:
    task = tasks.load(name)
    assert task.name == name
    assert task.default_net in (nets.taking(name) or [""])


def test_tasks_and_nets_import_no_heavy_library() -> None:
    code = (
        "import sys; from modelyard import tasks, nets; [tasks.load(n) for n in tasks.TASKS];"
        "[nets.load(n) for n in nets.NETS]; from modelyard.training import parse_recipe;"
        "parse_recipe({'task': 'image-classification', 'name': 'm', 'data': 'digits'});"
        "print([m for m in ('torch', 'sklearn', 'onnx', 'PIL', 'matplotlib', 'pyarrow') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
