import subprocess
import sys

import pytest

from modelyard import runs
from modelyard.errors import InvalidInput, UnknownName


def test_every_kind_has_its_parts():
    assert {"prepare", "train", "evaluate", "script"} <= set(runs.KINDS)
    for kind in runs.KINDS:
        module = runs.load(kind)
        assert module.Params.__struct_config__.frozen
        assert callable(module.run)


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'train'"):
        runs.load("trian")


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("prepare", {"name": "digits", "optoins": {}}, "did you mean 'options'"),
        ("prepare", {"name": "digits", "options": {"lable": "y"}}, "did you mean 'label'"),
        ("train", {"recipe": {}, "data": "x"}, "unknown key 'data' in params"),
        ("evaluate", {"splits": "test"}, "did you mean 'split'"),
    ],
)
def test_an_unknown_parameter_names_the_nearest(kind, params, message):
    with pytest.raises(UnknownName, match=message):
        runs.read_params(kind, params)


@pytest.mark.parametrize(
    ("kind", "params"),
    [("prepare", {}), ("prepare", {"name": 3}), ("train", {"recipe": "text"}), ("evaluate", {"seed": "1"})],
)
def test_a_wrong_parameter_is_a_users_error(kind, params):
    with pytest.raises(InvalidInput, match="params"):
        runs.read_params(kind, params)


def test_good_parameters_are_read():
    params = runs.read_params("prepare", {"name": "d", "sources": ["a.csv"], "options": {"label": "y"}})
    assert params.options.label == "y"
    assert params.sources == ("a.csv",)


def test_control_can_load_every_kind_without_a_training_framework():
    code = (
        "import sys; from modelyard import runs\n"
        "for kind in runs.KINDS: runs.load(kind)\n"
        "heavy = ('torch', 'sklearn', 'onnx', 'onnxruntime', 'matplotlib', 'scipy')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.strip() == "[]"
