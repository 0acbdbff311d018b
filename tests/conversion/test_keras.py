"""Keras and TensorFlow models into packages, held to their own predict. Each backend has a process of its own."""

import json
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the extra tensorflow"),
]

_BEGIN = """
import json, os, sys, warnings
os.environ["KERAS_BACKEND"] = sys.argv[1]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from pathlib import Path
import numpy as np, keras
from modelyard import conversion
from modelyard.conversion import Options
from modelyard.conversion.contract import Origin
from modelyard.engines import open_model
L, out = keras.layers, Path(sys.argv[2])
keras.utils.set_random_seed(0)
draw = np.random.default_rng(0)
def gap(found, expected):
    return float(np.abs(np.asarray(found) - np.asarray(expected)).max())
def answer(**facts):
    print("ANSWER " + json.dumps(facts))
"""


def python(code: str, backend: str, out: Path) -> dict[str, Any]:
    """What a process on this backend answers."""
    argv = [sys.executable, "-c", _BEGIN + textwrap.dedent(code), backend, str(out)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    answered: dict[str, Any] = json.loads(lines[-1].removeprefix("ANSWER "))
    return answered


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_recurrent_layers_answer_alike_at_any_length(tmp_path: Path, backend: str) -> None:
    """PyTorch's exporter gets them wrong (design.md, Parity): what is served is right all the same."""
    found = python(
        """
        model = keras.Sequential([keras.Input((None, 3)), L.LSTM(8, return_sequences=True), L.LSTM(4), L.Dense(2)])
        made = conversion.package(model, out)
        rows = draw.random((3, 33, 3)).astype("float32")
        found = open_model(out).predict({"input": rows})["output"]
        answer(format=made.format, sets=made.manifest.golden.sets, gap=gap(found, model.predict(rows, verbose=0)))
        """,
        backend,
        tmp_path / "p",
    )
    assert (found["format"], found["sets"]) == ("onnx", 3)
    assert found["gap"] < 1e-5


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_an_image_model_is_asked_with_pixels(tmp_path: Path, backend: str) -> None:
    found = python(
        """
        model = keras.Sequential([keras.Input((9, 9, 1)), L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(),
                                  L.Conv2D(4, 2, activation="relu"), L.Flatten(), L.Dropout(0.5),
                                  L.Dense(3, activation="softmax")])
        pixels = draw.integers(0, 256, (6, 9, 9, 1), dtype=np.uint8)
        example = (pixels / 255).astype("float32")
        made = conversion.package(model, out, Options(task="image-classification"), example=example)
        found = open_model(out).predict({"image": pixels})["probabilities"]
        answer(format=made.format, gap=gap(found, model.predict(example, verbose=0)))
        """,
        backend,
        tmp_path / "p",
    )
    assert found["format"] == "onnx"
    assert found["gap"] < 1e-5


def test_without_an_example_the_scale_is_what_the_model_knows_its_data_by(tmp_path: Path) -> None:
    found = python(
        """
        from sklearn.datasets import load_digits
        digits = load_digits()
        pixels, y = (digits.images * 15.9).astype(np.uint8), digits.target
        model = keras.Sequential([keras.Input((8, 8)), L.Flatten(), L.Dense(32, activation="relu"),
                                  L.Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(pixels[:1500] / 255.0, y[:1500], epochs=8, verbose=0)
        origin = Origin(rows=pixels[1500:1700], targets=y[1500:1700])
        made = conversion.package(model, out, Options(task="image-classification"), origin=origin)
        feed = made.manifest.adapter.inputs[0]
        try:
            keras.utils.set_random_seed(1)
            model.layers[1].set_weights([w * 0 for w in model.layers[1].get_weights()])
            conversion.package(model, Path(str(out) + "2"), Options(task="image-classification"), origin=origin)
            refusal = ""
        except Exception as error:
            refusal = str(error)
        answer(mean=feed.mean, std=feed.std, notes=made.notes, refusal=refusal)
        """,
        "tensorflow",
        tmp_path / "p",
    )
    assert (found["mean"], found["std"]) == ([0.0], [255.0])
    assert any("for so the model knows the test rows best" in note for note in found["notes"])
    assert "nothing says how pixels become the model's input" in found["refusal"]


def test_constants_that_layers_hold_are_in_the_graph(tmp_path: Path) -> None:
    found = python(
        """
        rows = draw.normal(5, 3, (50, 4)).astype("float32")
        normalization = L.Normalization()
        normalization.adapt(rows)
        model = keras.Sequential([keras.Input((4,)), normalization, L.Dense(1, activation="sigmoid")])
        made = conversion.package(model, out, Options(task="tabular-classification", labels=("no", "yes")))
        found = open_model(out).predict({f"x{k}": rows[:, k] for k in range(4)})["probabilities"]
        answer(format=made.format, notes=made.notes, gap=gap(found[:, 1:], model.predict(rows, verbose=0)))
        """,
        "tensorflow",
        tmp_path / "p",
    )
    assert (found["format"], found["notes"]) == ("onnx", [])
    assert found["gap"] < 1e-5


def test_a_keras_file_and_a_savedmodel_are_brought(tmp_path: Path) -> None:
    found = python(
        """
        model = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="softmax")])
        rows = draw.random((5, 4)).astype("float32")
        expected = model.predict(rows, verbose=0)
        model.save(str(out) + ".keras"); model.export(str(out) + "-saved", verbose=False)
        gaps = {}
        for format, path in (("keras", str(out) + ".keras"), ("savedmodel", str(out) + "-saved")):
            target = Path(str(out) + format)
            made = conversion.package_file(Path(path), format, target)
            (name,) = [t.name for t in made.manifest.tensors.inputs]
            (found,) = open_model(target).predict({name: rows}).values()
            gaps[format + " " + made.format] = gap(found, expected)
        answer(**gaps)
        """,
        "tensorflow",
        tmp_path / "p",
    )
    assert set(found) == {"keras onnx", "savedmodel onnx"}
    assert max(found.values()) < 1e-5


def test_a_module_whose_operator_onnx_has_not_is_served_by_tensorflow(tmp_path: Path) -> None:
    found = python(
        """
        import tensorflow as tf
        class Singular(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 3, 3], tf.float32)])
            def __call__(self, x):
                return tf.linalg.svd(x, compute_uv=False)
        made = conversion.package(Singular(), out)
        rows = draw.random((2, 3, 3)).astype("float32")
        (found,) = open_model(out).predict({"x": rows}).values()
        answer(format=made.format, notes=made.notes, gap=gap(found, np.linalg.svd(rows, compute_uv=False)))
        """,
        "tensorflow",
        tmp_path / "p",
    )
    assert found["format"] == "savedmodel"
    assert any("ONNX has no such operators; came: ['Svd']" in note for note in found["notes"])
    assert found["gap"] < 1e-5


def test_a_layer_that_carries_code_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    found = python(
        """
        model = keras.Sequential([keras.Input((4,)), L.Lambda(lambda x: x * 2)])
        model.save(str(out) + ".keras")
        try:
            conversion.package_file(Path(str(out) + ".keras"), "keras", out)
            refusal = ""
        except Exception as error:
            refusal = f"{type(error).__name__}: {error}"
        answer(refusal=refusal)
        """,
        "tensorflow",
        tmp_path / "p",
    )
    assert found["refusal"].startswith("InvalidInput: this .keras file cannot be opened in safe mode")
