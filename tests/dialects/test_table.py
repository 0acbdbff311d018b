import json

import pytest

from modelyard.dialects import DIALECTS, STATUS, failure, match, of_path
from modelyard.errors import InvalidInput, ModelyardError, _subclasses


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/v2", "server"),
        ("GET", "/v2/", "server"),
        ("HEAD", "/v2/health/live", "live"),
        ("GET", "/v2/health/ready", "ready"),
        ("GET", "/v2/models", "models"),
        ("GET", "/v2/models/m", "model"),
        ("GET", "/v2/models/m/versions/3", "model"),
        ("GET", "/v2/models/m/versions/3/ready", "model_ready"),
        ("POST", "/v2/models/m/infer", "infer"),
        ("POST", "/v2/models/m/versions/3/infer", "infer"),
        ("POST", "/v2/repository/index", "index"),
        ("POST", "/v2/repository/models/m/load", "load"),
        ("POST", "/v2/repository/models/m/unload", "unload"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/m", "model"),
        ("POST", "/models/m", "predict"),
        ("DELETE", "/v2/models/m", ""),
        ("GET", "/v2/models/m/infer", ""),
    ],
)
def test_known_paths(method, path, operation):
    found = match(method, path)
    assert found.operation == operation
    assert found.allowed[-1] or not operation


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "*",
        "//v1/models",
        "/v1/../api",
        "/v1/%2e%2e/api",
        "/v1/models/",
        "/v1//models",
        "/v2/models/a%2fb",
        "/v2/models/../x/infer",
        "/v2/models/" + "a" * 256 + "/infer",
        "/v2/models/a\0/infer",
        "/v2/systemsharedmemory/status",
        "/v2/cudasharedmemory/region/x/register",
        "/v1/chat/completions/x",
        "/models/m/v1/completions",
        "/api/v1/models",
        "/v2/models/m/versions//infer",
    ],
)
def test_paths_that_are_none(path):
    assert match("POST", path) is None
    assert match("GET", path) is None


def test_numbers_are_places_in_the_table():
    for number, path in enumerate(("/v2", "/models/m", "/v1/models")):
        assert match("GET", path).number == number
        assert of_path(path) is DIALECTS[number]
    assert of_path("/v1x") is of_path("/api") is None


def test_every_error_has_a_status():
    meant = [cls for cls in _subclasses(ModelyardError) if cls.__module__ == "modelyard.errors"]
    assert {cls.code for cls in meant} <= set(STATUS)


def test_errors_in_each_shape():
    error = InvalidInput("what", came="came", allowed="allowed")
    shapes = [json.loads(failure(dialect, error).body)["error"] for dialect in DIALECTS]
    assert shapes[0] == shapes[1] == "what; came: came; allowed: allowed"
    assert shapes[2] == {
        "message": shapes[0],
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_input",
    }
    defect = failure(DIALECTS[0], ModelyardError("secret detail"))
    assert (defect.status, json.loads(defect.body)) == (500, {"error": "internal error"})
