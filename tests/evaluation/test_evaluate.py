import numpy as np
import pytest

from modelyard import packages
from modelyard.datasets import IngestOptions, ingest, open_dataset
from modelyard.engines import open_model
from modelyard.errors import Cancelled, InvalidInput
from modelyard.evaluation import EvaluationOptions, evaluate
from small_package import LABELS, answers, columns, linear_onnx, manifest, write_files, write_package


class Quiet:
    """A reporter that remembers progress, and cancels when told to."""

    def __init__(self, cancel_at=None):
        self.done, self.cancel_at = [], cancel_at

    def metrics(self, step, values):
        raise AssertionError("an evaluation has no curves")

    def progress(self, done, total, text=""):
        self.done.append((done, total))

    def check(self):
        if self.cancel_at is not None and len(self.done) >= self.cancel_at:
            raise Cancelled("the run was cancelled")


def write_csv(path, rows, *, flip=0.2, extra=""):
    """Rows whose class is the small package's own answer, a part of them with another label."""
    table = columns(rows, seed=9)
    found = answers(np.stack([table["a"], table["b"]], axis=1)).argmax(axis=1)
    wrong = np.random.default_rng(2).random(rows) < flip
    found = np.where(wrong, (found + 1) % 3, found)
    lines = [
        f"{a!r},{b!r},{LABELS[k]}"
        for a, b, k in zip(table["a"].tolist(), table["b"].tolist(), found, strict=True)
    ]
    path.write_text("a,b,y\n" + "\n".join(lines) + "\n" + extra)


def dataset_of(folder, rows=900, **options):
    write_csv(folder / "colours.csv", rows)
    ingest([folder / "colours.csv"], IngestOptions(label="y", **options), folder / "dataset", Quiet())
    return open_dataset(folder / "dataset")


@pytest.fixture
def model(tmp_path):
    write_package(tmp_path / "package")
    return open_model(tmp_path / "package")


def test_figures_are_those_of_the_whole_split_at_once(tmp_path, model):
    dataset = dataset_of(tmp_path, fractions={"train": 0.2, "test": 0.8})
    reporter = Quiet()
    found = evaluate(model, dataset, EvaluationOptions(model="colours:1", dataset="colours:3"), reporter)
    report, task = found.report, model.task

    rows = dataset.columns("test")
    targets = task.targets(rows.pop("y"), LABELS)
    outputs = model.predict(model.prepared.decode(rows))
    expected = task.metrics(outputs, targets, LABELS)
    assert report.metrics.values == pytest.approx(expected.values, abs=1e-6)
    assert report.metrics.confusion == expected.confusion
    assert report.rows == len(targets) > 512  # several batches
    assert report.interval.value == pytest.approx(expected.values["accuracy"])
    assert report.interval.low < report.interval.value < report.interval.high
    assert (report.model, report.dataset, report.split) == ("colours:1", "colours:3", "test")
    assert (report.model_digest, report.dataset_digest) == (model.digest, dataset.digest)
    assert reporter.done[-1] == (report.rows, report.rows)
    assert found.mistakes
    assert all(m.answer != m.target for m in found.mistakes)


def test_the_same_model_and_data_give_the_same_report(tmp_path, model):
    dataset = dataset_of(tmp_path)
    first, second = (evaluate(model, dataset, EvaluationOptions(), Quiet()).report for _ in range(2))
    assert first.metrics == second.metrics
    assert first.interval == second.interval


def test_an_empty_split_is_refused(tmp_path, model):
    dataset = dataset_of(tmp_path, rows=60, fractions={"train": 1.0})
    with pytest.raises(InvalidInput, match="split to evaluate on has no rows; came: test"):
        evaluate(model, dataset, EvaluationOptions(), Quiet())


def test_a_missing_column_is_named(tmp_path, model):
    dataset = dataset_of(tmp_path, rows=60, drop=("b",))
    with pytest.raises(InvalidInput, match=r"lacks a column that the model needs.*allowed: b"):
        evaluate(model, dataset, EvaluationOptions(), Quiet())


def test_a_class_that_the_model_does_not_know_is_refused(tmp_path, model):
    write_csv(tmp_path / "c.csv", 60, extra="0.1,0.2,purple\n" * 30)
    ingest([tmp_path / "c.csv"], IngestOptions(label="y"), tmp_path / "dataset", Quiet())
    with pytest.raises(InvalidInput, match="purple"):
        evaluate(model, open_dataset(tmp_path / "dataset"), EvaluationOptions(), Quiet())


def test_outputs_that_are_not_finite_are_refused(tmp_path):
    write_files(tmp_path / "package")
    broken = linear_onnx(bias=np.array([np.nan, 0, 0], np.float32))
    (tmp_path / "package" / "model.onnx").write_bytes(broken.SerializeToString())
    packages.write(tmp_path / "package", manifest())
    model = open_model(tmp_path / "package", replay=False)
    with pytest.raises(InvalidInput, match="not finite; came: probabilities"):
        evaluate(model, dataset_of(tmp_path, rows=60), EvaluationOptions(), Quiet())


def test_figures_on_the_training_rows_say_so(tmp_path):
    import msgspec

    from modelyard.types.package import Lineage

    dataset = dataset_of(tmp_path, rows=90)
    write_files(tmp_path / "package")
    lineage = Lineage(dataset_digest=dataset.digest)
    packages.write(tmp_path / "package", msgspec.structs.replace(manifest(), lineage=lineage))
    model = open_model(tmp_path / "package")
    assert "trained on" in evaluate(model, dataset, EvaluationOptions(split="train"), Quiet()).report.notes[0]
    assert evaluate(model, dataset, EvaluationOptions(split="test"), Quiet()).report.notes == ()


def test_it_stops_when_the_run_is_cancelled(tmp_path, model):
    dataset = dataset_of(tmp_path, fractions={"train": 0.2, "test": 0.8})
    reporter = Quiet(cancel_at=1)
    reporter.done.clear()
    with pytest.raises(Cancelled):
        evaluate(model, dataset, EvaluationOptions(), reporter)
    assert len(reporter.done) == 1
