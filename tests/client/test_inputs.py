"""What predict takes, recipes, references, settings: no server needed."""

import base64
import json
import subprocess
import sys

import numpy as np
import pytest

import modelyard
from modelyard.client.inputs import request_for
from modelyard.client.models import split_reference
from modelyard.client.recipe import assemble, value_of
from modelyard.client.record import when
from modelyard.client.settings import resolve
from modelyard.cluster.platform import write_config
from modelyard.errors import InvalidInput
from modelyard.files import write_atomic
from modelyard.home import Home
from modelyard.types.process import PlatformConfig


def _body(value, parameters=None):
    return json.loads(request_for("m", value, parameters).content())


def test_an_image_goes_as_it_is_and_as_base64_where_there_are_parameters(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    request = request_for("m", tmp_path / "a.png")
    assert request.content() == b"\x89PNG"
    assert request.headers["Content-Type"] == "application/octet-stream"
    body = _body(b"\x89PNG", {"top_k": 2})
    assert body == {"inputs": base64.b64encode(b"\x89PNG").decode(), "parameters": {"top_k": 2}}


def test_text_that_names_an_image_is_that_file_and_other_text_is_text(tmp_path):
    (tmp_path / "a.PNG").write_bytes(b"\x89PNG")
    assert request_for("m", str(tmp_path / "a.PNG")).content() == b"\x89PNG"
    assert _body("no such.png") == {"inputs": "no such.png"}


def test_missing_numbers_are_null_and_arrays_are_lists():
    assert _body({"a": np.array([1.0, np.nan])}) == {"inputs": {"data": {"a": [1.0, None]}}}
    assert _body([{"a": float("nan")}]) == {"inputs": {"data": {"a": [None]}}}
    assert _body(np.array([[1, 2]])) == {"inputs": [[1, 2]]}


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1.0, 2.0], "b": ["x", None]},
        [{"a": 1.0, "b": "x"}, {"b": None, "a": 2.0}],
        {"a": np.array([1.0, 2.0]), "b": ("x", None)},
    ],
)
def test_tables_become_columns(value):
    assert _body(value) == {"inputs": {"data": {"a": [1.0, 2.0], "b": ["x", None]}}}


def test_plain_values_are_one_row():
    assert _body({"a": 1, "b": np.float64(2)}) == {"inputs": {"data": {"a": [1], "b": [2.0]}}}


@pytest.mark.parametrize("value", [[], {"a": [float("inf")]}, [{"a": 1}, {"b": 2}], {"a": [object()]}])
def test_what_is_no_input_is_refused(value):
    with pytest.raises(InvalidInput):
        request_for("m", value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        request_for("m", tmp_path / "no.png")


def test_recipes_are_put_together_without_touching_the_callers(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("task: t\ntraining: {epochs: 3, learning_rate: 1e-3}\n")
    assert assemble(path, {"training.epochs": 5, "net.width": 2}) == {
        "task": "t",
        "training": {"epochs": 5, "learning_rate": 0.001},
        "net": {"width": 2},
    }
    own = {"training": {"epochs": 3}}
    assemble(own, {"training.epochs": 5})
    assert own == {"training": {"epochs": 3}}


@pytest.mark.parametrize("text", ["- 1", "a: [", "!!python/object/apply:os.system [id]", "a: 1\na: 2", ""])
def test_a_recipe_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InvalidInput):
        assemble(tmp_path / "r.yaml", {})
    with pytest.raises(InvalidInput):
        assemble(tmp_path / "missing.yaml", {})


def test_values_read_as_yaml():
    assert [value_of(t) for t in ("5", "1e-3", "true", "[1, 2]", "adam")] == [5, 0.001, True, [1, 2], "adam"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a", ("a", None)), ("a:3", ("a", "3")), ("a@best", ("a", "@best")), ("a:latest", ("a", "latest"))],
)
def test_references(text, parts):
    assert split_reference(text) == parts


@pytest.mark.parametrize("text", ["a:", "@b", ":", "a@"])
def test_broken_references(text):
    with pytest.raises(InvalidInput):
        split_reference(text)


def test_settings_come_from_arguments_then_environment_then_home(tmp_path, monkeypatch):
    for name in ("YARD_URL", "YARD_API_KEY", "YARD_GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)
    home = Home(tmp_path)
    assert resolve(None, None, None, home).url == "http://127.0.0.1:8801"
    write_config(home, PlatformConfig(port=1, control_port=2))
    write_atomic(home.credentials, b'{"url": "http://127.0.0.1:2", "api_key": "k"}')
    settings = resolve(None, None, None, home)
    assert (settings.url, settings.gateway_url, settings.api_key) == (
        "http://127.0.0.1:2",
        "http://127.0.0.1:1",
        "k",
    )
    assert "'k'" not in repr(settings)
    other = resolve("http://elsewhere:1/", None, None, home)
    assert (other.url, other.gateway_url, other.api_key) == (
        "http://elsewhere:1",
        None,
        None,
    )  # the key stays here
    monkeypatch.setenv("YARD_URL", "http://x:3")
    monkeypatch.setenv("YARD_API_KEY", "e")
    assert resolve(None, None, None, home).api_key == "e"
    assert resolve("http://127.0.0.1:2", "a", None, home).api_key == "a"


@pytest.mark.parametrize("url", ["localhost:8801", "ftp://x", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(InvalidInput):
        resolve(url, None, None, Home(tmp_path))


def test_times_as_people_say_them():
    import time

    now = time.time()
    assert [when(now - s) for s in (5, 60, 7200, 86400 * 2)] == [
        "5 s ago",
        "1 min ago",
        "2 h ago",
        "2 days ago",
    ]
    assert when(0) == "1970-01-01"
    assert when(None) == ""


def test_importing_costs_little_and_loads_nothing_heavy():
    code = (
        "import sys, time; t = time.perf_counter(); import modelyard; d = time.perf_counter() - t\n"
        "heavy = {'numpy', 'httpx', 'torch', 'pyarrow', 'rich', 'msgspec'} & set(sys.modules)\n"
        "assert not heavy, heavy\nassert d < 0.3, d\nmodelyard.Client\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert modelyard.__version__
    with pytest.raises(AttributeError, match="nothing"):
        modelyard.nothing  # noqa: B018
    assert "Client" in dir(modelyard)
