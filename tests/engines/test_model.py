import subprocess
import sys

import msgspec
import numpy as np
import pytest

from modelyard import packages
from modelyard.engines import open_model
from modelyard.errors import Corrupt, InvalidInput, ParityMismatch, UnknownName
from small_package import LABELS, answers, columns, manifest, write_files, write_package


@pytest.fixture
def package(tmp_path):
    write_package(tmp_path)
    return tmp_path


def test_predict_transforms_and_runs(package):
    model = open_model(package)
    arrays = model.prepared.decode({name: values.tolist() for name, values in columns(7).items()})
    outputs = model.predict(arrays)
    tensors = model.prepared.transform(arrays)
    np.testing.assert_allclose(outputs["probabilities"], answers(tensors["features"]), atol=1e-6)
    np.testing.assert_array_equal(outputs["probabilities"], model.run(tensors)["probabilities"])


def test_knows_its_version_and_task(package):
    model = open_model(package, expected_digest=packages.digest(package))
    assert model.digest == packages.digest(package)
    assert model.task.name == "tabular-classification"
    assert model.manifest.labels == LABELS


@pytest.mark.parametrize("name", ["model.onnx", "golden.safetensors"])
def test_a_flipped_byte_is_refused_by_name(package, name):
    data = bytearray((package / name).read_bytes())
    data[len(data) // 2] ^= 1
    (package / name).write_bytes(data)
    with pytest.raises(Corrupt) as caught:
        open_model(package)
    assert caught.value.file == name


def test_another_version_than_expected_is_refused(package):
    with pytest.raises(Corrupt, match=r"model\.json"):
        open_model(package, expected_digest="f" * 64)


def test_answers_unlike_trainings_are_refused_unless_asked_not_to_replay(tmp_path):
    rows = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    write_package(tmp_path, golden_outputs=answers(rows)[:, ::-1].copy())
    with pytest.raises(ParityMismatch, match="probabilities"):
        open_model(tmp_path)
    assert open_model(tmp_path, replay=False).manifest.golden is not None


def test_a_package_without_golden_rows_opens_and_says_so(tmp_path, caplog):
    write_files(tmp_path)
    packages.write(tmp_path, msgspec.structs.replace(manifest(), golden=None))
    open_model(tmp_path)
    assert "no golden inputs; parity was not checked" in caplog.text


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"task": "tabular-clasification"}, UnknownName, "did you mean 'tabular-classification'"),
        (
            {"formats": {"gguf": "model.onnx"}},
            InvalidInput,
            "no format that an engine opens; came: .*gguf.*onnx",
        ),
        ({"preprocessing": {}}, InvalidInput, "preprocessing"),
    ],
)
def test_a_package_that_fits_nothing_is_a_clear_error(tmp_path, change, error, message):
    write_files(tmp_path)
    packages.write(tmp_path, msgspec.structs.replace(manifest(), **change))
    with pytest.raises(error, match=message):
        open_model(tmp_path)


def test_opening_needs_no_training_framework(package):
    code = (
        "import sys; from pathlib import Path; from modelyard.engines import open_model\n"
        f"open_model(Path({str(package)!r}))\n"
        "heavy = ('torch', 'sklearn', 'onnx', 'pyarrow', 'sqlalchemy', 'matplotlib')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.strip() == "[]"
