import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from modelyard import packages
from modelyard.engines import EngineOptions, open_engine
from modelyard.engines.parity import replay
from modelyard.errors import Corrupt, ParityMismatch
from small_package import answers, manifest, write_package

ROWS = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)


class Spy:
    """Passes on to a real engine, and may spoil an answer on its way back."""

    def __init__(self, engine, spoil=lambda outputs: outputs):
        self.engine, self.spoil, self.sizes = engine, spoil, []

    def run(self, inputs):
        self.sizes.append(len(inputs["features"]))
        return self.spoil(self.engine.run(inputs))


def engine_of(folder, **change):
    written = write_package(folder, **change)
    return open_engine(folder, written, EngineOptions()), written


def test_a_good_engine_passes_at_batch_sizes_one_two_and_all(tmp_path):
    engine, written = engine_of(tmp_path)
    spy = Spy(engine)
    replay(spy, tmp_path, written)
    assert spy.sizes == [1] * 5 + [2, 2, 1] + [5]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_an_error_at_one_batch_size_alone_is_found(tmp_path, size):
    engine, written = engine_of(tmp_path)

    def spoil(outputs):
        wrong = outputs["probabilities"].copy()
        if len(wrong) == size:
            wrong[0, 1] += 0.01
        return {"probabilities": wrong}

    with pytest.raises(
        ParityMismatch, match=f"probabilities at batch size {size} is not what it was in training"
    ):
        replay(Spy(engine, spoil), tmp_path, written)


def test_the_message_has_the_worst_error_and_what_was_allowed(tmp_path):
    golden = answers(ROWS)
    golden[2, 0] += 0.25
    golden[4, 1] -= 0.5
    engine, written = engine_of(tmp_path, golden_outputs=golden)
    with pytest.raises(ParityMismatch) as caught:
        replay(engine, tmp_path, written)
    limit = 1e-5 + 1e-4 * abs(golden[4, 1])
    assert "2 of 15 values differ" in caught.value.message
    assert "came: absolute error 0.5;" in caught.value.message
    assert f"allowed: {limit:.3g} (atol 1e-05, rtol 0.0001)" in caught.value.message


def test_an_error_within_the_tolerance_passes(tmp_path):
    golden = answers(ROWS) * np.float32(1 + 5e-5)
    engine, written = engine_of(tmp_path, golden_outputs=golden)
    replay(engine, tmp_path, written)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["answer", "golden", "both"])
def test_what_is_not_finite_never_passes(tmp_path, value, where):
    golden = answers(ROWS)
    if where != "answer":
        golden[1, 1] = value
    engine, written = engine_of(tmp_path, golden_outputs=golden)

    def spoil(outputs):
        wrong = outputs["probabilities"].copy()
        if where != "golden":
            wrong[-1, 1] = value
        return {"probabilities": wrong}

    with pytest.raises(ParityMismatch, match="probabilities at batch size 1"):
        replay(Spy(engine, spoil), tmp_path, written)


def test_another_shape_is_a_mismatch(tmp_path):
    engine, written = engine_of(tmp_path)
    spoil = Spy(engine, lambda outputs: {"probabilities": outputs["probabilities"][:, :2]})
    with pytest.raises(ParityMismatch, match=r"another shape; came: \[5, 2\]; allowed: \[5, 3\]"):
        replay(spoil, tmp_path, written)


@pytest.mark.parametrize(
    "tensors",
    [
        {"inputs.features": ROWS},
        {"inputs.features": ROWS, "outputs.label": answers(ROWS)},
        {"inputs.features": ROWS[:4], "outputs.probabilities": answers(ROWS)},
        {"inputs.features": ROWS[:3], "outputs.probabilities": answers(ROWS)[:3]},
    ],
)
def test_a_golden_file_of_other_tensors_is_refused(tmp_path, tensors):
    engine, _ = engine_of(tmp_path)
    save_file(tensors, tmp_path / "golden.safetensors")
    written = packages.write(tmp_path, manifest())
    with pytest.raises(Corrupt, match=r"golden\.safetensors"):
        replay(engine, tmp_path, written)


def test_a_golden_file_that_is_no_safetensors_is_refused(tmp_path):
    engine, written = engine_of(tmp_path)
    assert load_file(tmp_path / "golden.safetensors")
    (tmp_path / "golden.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(Corrupt, match="is not a safetensors file"):
        replay(engine, tmp_path, written)
