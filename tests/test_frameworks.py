"""The scripts under examples/frameworks/, run on real data, deployed, and asked over HTTP: the answers are those
that the framework's own predict gave."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient

from stocked import Stocked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPTS = Path(__file__).parent.parent / "examples" / "frameworks"
ROWS = 5
IMAGES = {
    "tensorflow_dense": {"epochs": 3},
    "tensorflow_flatten": {"epochs": 2, "data": "digits"},
    "keras_cnn_two": {"epochs": 2},
    "keras_cnn_three": {"epochs": 2},
    "pytorch_cnn": {"epochs": 2},
}


@pytest.fixture(scope="module")
def yard(stocked: Stocked) -> Stocked:
    """The stocked platform with what the scripts read."""
    import importlib.util

    for name in ("digits", "breast-cancer", "diabetes"):
        stocked.client.data.add(name)
    penguins = Path(str(importlib.util.find_spec("palmerpenguins").origin)).parent / "data" / "penguins.csv"  # type: ignore[union-attr]
    stocked.client.data.add("penguins", penguins, label="species")
    return stocked


def run(yard: Stocked, script: str, data: str, /, **params: Any) -> tuple[str, dict[str, np.ndarray]]:
    """Run, deploy; the deployment's name and what the script left as predictions."""
    done = yard.client.run(SCRIPTS / f"{script}.py", data=[data], params=params)
    (model,) = done.outputs["models"]
    version = yard.client.models.version(f"{model['name']}:{model['version']}")
    assert version["formats"] == ["onnx"], version["manifest"]["notes"]
    yard.client.deploy(model["name"], model["name"])
    folder = yard.folder / done.id
    yard.client.runs.save_artifacts(done.id, folder)
    files = {path.name: np.loadtxt(path, delimiter=",", ndmin=2) for path in folder.glob("*.csv")}
    return model["name"], files


def hugging(yard: Stocked, name: str) -> InferenceClient:
    return InferenceClient(f"{yard.client.gateway_url}/models/{name}", token=yard.client.settings.api_key)


def scores(answers: Any, labels: list[str]) -> list[float]:
    """By the labels' order, of one answer of the Hugging Face interface."""
    found = {a["label"]: a["score"] for a in answers}  # the client's answers are dicts, too
    return [found.get(label, 0.0) for label in labels]


@pytest.mark.parametrize("script", IMAGES)
def test_an_image_is_answered_as_the_framework_does(yard: Stocked, script: str) -> None:
    name, files = run(yard, script, "digits", **IMAGES[script])
    client, labels = hugging(yard, name), [str(k) for k in range(10)]
    for row in range(ROWS):
        picture = yard.client.data.sample("digits", row)["image"]
        found = scores(client.image_classification(picture, top_k=10), labels)
        if script == "keras_cnn_three":  # its predict gives logits
            powers = np.exp(files["predictions.csv"][row])
            expected = powers / powers.sum()
        else:
            expected = files["predictions.csv"][row]
        assert np.allclose(found, expected, rtol=1e-4, atol=2e-5), script


def test_a_support_vector_machine_answers_the_class_that_it_predicts(yard: Stocked) -> None:
    name, files = run(yard, "sklearn_svm", "digits")
    client = hugging(yard, name)
    for row in range(ROWS):
        best = client.image_classification(yard.client.data.sample("digits", row)["image"], top_k=1)[0]
        assert (best.label, best.score) == (str(int(files["predictions.csv"][row][0])), 1.0)


def test_a_binary_network_answers_both_classes(yard: Stocked) -> None:
    name, files = run(yard, "tensorflow_binary", "breast-cancer", epochs=2)
    labels = yard.client.models.version(name)["manifest"]["labels"]
    for row in range(ROWS):
        answers = yard.client.predict(name, yard.client.data.sample("breast-cancer", row).features)[0]
        positive = files["predictions.csv"][row][0]
        assert np.allclose(scores(answers, labels), [1 - positive, positive], rtol=1e-4, atol=1e-5)


def test_a_recurrent_network_answers_at_a_length_that_it_was_not_exported_with(yard: Stocked) -> None:
    import tritonclient.http as triton

    name, files = run(yard, "keras_lstm", "digits", epochs=2)
    pixels = _digits(yard, ROWS)
    client = triton.InferenceServerClient(yard.client.gateway_url.removeprefix("http://"))
    headers = {"Authorization": f"Bearer {yard.client.settings.api_key}"}
    for length, file in ((8, "predictions.csv"), (5, "predictions-5-rows.csv")):
        rows = (pixels[:, :length] / 255).astype(np.float32)
        asked = triton.InferInput("rows", list(rows.shape), "FP32")
        asked.set_data_from_numpy(rows)
        found = client.infer(name, [asked], headers=headers).as_numpy("output")
        assert np.allclose(found, files[file][:ROWS], rtol=1e-4, atol=1e-5), length
    client.close()


def test_a_decision_tree_answers_its_probabilities(yard: Stocked) -> None:
    name, files = run(yard, "sklearn_decision_tree", "wine")
    labels = yard.client.models.version(name)["manifest"]["labels"]
    for row in range(ROWS):
        answers = yard.client.predict(name, yard.client.data.sample("wine", row).features)[0]
        assert np.allclose(scores(answers, labels), files["predictions.csv"][row], atol=1e-5)


@pytest.mark.parametrize("script", ["sklearn_linear_regression", "sklearn_polynomial_regression"])
def test_a_regression_answers_its_number(yard: Stocked, script: str) -> None:
    name, files = run(yard, script, "diabetes")
    for row in range(ROWS):
        (answer,) = yard.client.predict(name, yard.client.data.sample("diabetes", row).features)
        assert np.isclose(answer, files["predictions.csv"][row][0], rtol=1e-4)


def test_a_pipeline_over_texts_is_asked_with_texts(yard: Stocked) -> None:
    name, files = run(yard, "sklearn_columns", "penguins")
    labels = yard.client.models.version(name)["manifest"]["labels"]
    for row in range(ROWS):
        answers = yard.client.predict(name, yard.client.data.sample("penguins", row).features)[0]
        assert np.allclose(scores(answers, labels), files["predictions.csv"][row], rtol=1e-4, atol=1e-5)


def _digits(yard: Stocked, rows: int) -> np.ndarray:
    from modelyard.tasks.images import decode_all

    return decode_all([yard.client.data.sample("digits", row)["image"] for row in range(rows)], "L", (8, 8))[
        ..., 0
    ]


@pytest.mark.fashion_mnist
def test_28_by_28_pixels_of_fashion(yard: Stocked) -> None:
    yard.client.data.add("fashion-mnist")
    name, files = run(yard, "tensorflow_flatten", "fashion-mnist", epochs=1)
    labels = list(yard.client.models.version(name)["manifest"]["labels"])
    picture = yard.client.data.sample("fashion-mnist", 0)["image"]
    found = scores(hugging(yard, name).image_classification(picture, top_k=10), labels)
    assert np.allclose(found, files["predictions.csv"][0], rtol=1e-4, atol=2e-5)


def test_every_script_says_how_to_run_it() -> None:
    for script in SCRIPTS.glob("*.py"):
        assert f"yard run examples/frameworks/{script.name} --data" in script.read_text(), script.name
