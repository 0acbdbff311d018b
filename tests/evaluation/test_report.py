import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from modelyard import tasks
from modelyard.evaluation import Bootstrap, Mistake, bootstrap, write_report
from modelyard.types.report import FitVerdict, Report

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
HISTORY = {
    "train/loss": [[1, 1.0], [2, 0.5], [3, 0.2]],
    "validation/loss": [[1, 1.1], [2, 0.7], [3, 0.8]],
    "validation/accuracy": [[1, 0.5], [2, 0.7], [3, 0.7]],
    "learning_rate": [[1, 0.1], [2, 0.05], [3, 0.01]],
}


class Page(HTMLParser):
    """Tags, and the text outside of styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self._inside = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        self._inside.pop() if self._inside and self._inside[-1] == tag else None

    def handle_data(self, data):
        if "style" not in self._inside:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)

    def count(self, tag):
        return sum(t == tag for t, _ in self.tags)


def classifier_report(labels, rows=300, **change):
    task, rng = tasks.load("image-classification"), np.random.default_rng(0)
    targets = rng.integers(0, len(labels), rows)
    scores = rng.normal(size=(rows, len(labels)))
    scores[np.arange(rows), targets] += 2
    powers = np.exp(scores)
    outputs = {"probabilities": (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)}
    report = Report(
        model="things:1",
        model_digest="ab" * 32,
        task=task.name,
        dataset="things:2",
        dataset_digest="cd" * 32,
        split="test",
        rows=rows,
        metrics=task.metrics(outputs, targets, labels),
        interval=bootstrap(task, outputs, targets, Bootstrap(resamples=50)),
        labels=tuple(labels),
        history=HISTORY,
        fit=FitVerdict(verdict="overfitting", why="validation loss rose by 14 % after epoch 2"),
        recipe={"task": task.name, "net": {"name": "cnn"}},
    )
    return msgspec.structs.replace(report, **change)


def regression_report():
    task, rng = tasks.load("tabular-regression"), np.random.default_rng(0)
    targets = rng.normal(150, 70, 200)
    outputs = {"prediction": (targets + rng.normal(0, 50, 200)).astype(np.float32)}
    return Report(
        model="m:1",
        task=task.name,
        dataset="d:1",
        dataset_digest="ef" * 32,
        split="test",
        rows=200,
        metrics=task.metrics(outputs, targets, ()),
        interval=bootstrap(task, outputs, targets, Bootstrap(resamples=50)),
    )


def mistakes(labels, count=4, channels=1):
    pixels = np.random.default_rng(1).integers(0, 255, (8, 8, channels), dtype=np.uint8)
    return [
        Mistake(row=k, target=labels[0], answer=labels[1], confidence=0.9 - k / 10, pixels=pixels)
        for k in range(count)
    ]


def written(folder, report, found=()):
    write_report(report, folder, found)
    return (folder / "report.html").read_text("utf-8")


def test_the_json_is_the_report(tmp_path):
    report = classifier_report(["a", "b", "c"])
    write_report(report, tmp_path)
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report) == report


def test_the_page_shows_what_was_found(tmp_path):
    labels = [f"thing {k}" for k in range(7)]
    report = classifier_report(labels)
    page = Page(written(tmp_path, report, mistakes(labels)))
    accuracy = f"{report.interval.value:.4f}"
    for words in (
        accuracy, f"{report.interval.low:.4f} to {report.interval.high:.4f}", "overfitting", "rose by 14 %",
        "ROC AUC", "Calibration", "Confusion", "Most confident mistakes", "things:2", "cd" * 32, "thing 6",
        "300 rows of the test split",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.count("svg") == 4  # training, ROC, calibration, confusion
    assert page.count("img") == 4
    assert page.count("figure") == 4


def test_a_regressions_page_has_its_residuals_and_nothing_of_classes(tmp_path):
    page = Page(written(tmp_path, regression_report()))
    assert "Residuals" in page.text
    assert "RMSE" in page.text
    assert "lower is better" in page.text
    assert page.count("svg") == 2
    for words in ("Confusion", "ROC", "Calibration", "Most confident", "Training"):
        assert words not in page.text, words


@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_the_same_report_gives_the_same_bytes(tmp_path, kind):
    labels = ["a", "b", "c"]
    report = classifier_report(labels) if kind == "classes" else regression_report()
    for folder in ("1", "2"):
        write_report(report, tmp_path / folder, mistakes(labels))
    for name in ("report.html", "report.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert not re.search(r"\b20\d\d-\d\d-\d\d", (tmp_path / "1" / "report.html").read_text())


def test_hostile_names_stay_text(tmp_path):
    labels = [EVIL, "$\\frac{x}$", "a\x00b\nc", "日本語 العربية", "x" * 400, "", "${body}"]
    report = classifier_report(
        labels,
        model=EVIL,
        dataset=EVIL,
        notes=(EVIL,),
        recipe={EVIL: EVIL},
        fit=FitVerdict(verdict=EVIL, why=EVIL),
        history={f"train/{EVIL}": [[1, 1.0], [2, 2.0]], EVIL: [[1, 1.0], [2, 2.0]]},
    )
    text = written(tmp_path, report, mistakes(labels))
    page = Page(text)
    tags = {tag for tag, _ in page.tags}
    assert "script" not in tags
    assert page.count("img") == 4  # the mistakes' own
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert EVIL in page.text
    assert "日本語" in page.text


def test_nothing_is_fetched_from_anywhere(tmp_path):
    labels = ["a", "b"]
    page = Page(written(tmp_path, classifier_report(labels), mistakes(labels, channels=3)))
    links = [
        v
        for _, attributes in page.tags
        for k, v in attributes.items()
        if k in ("src", "href", "xlink:href", "data")
    ]
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("classes", [2, 31, 100])
def test_any_number_of_classes_can_be_drawn(tmp_path, classes):
    labels = [f"class number {k} of a long list" for k in range(classes)]
    page = Page(written(tmp_path, classifier_report(labels, rows=400)))
    assert page.count("svg") == 4
    assert labels[-1] in page.text


def test_a_page_is_small(tmp_path):
    labels = [str(k) for k in range(10)]
    write_report(classifier_report(labels, rows=5000), tmp_path, mistakes(labels, 24))
    assert (tmp_path / "report.html").stat().st_size < 400_000


def test_one_row_of_one_class_is_enough(tmp_path):
    task = tasks.load("tabular-classification")
    outputs, targets = {"probabilities": np.ones((1, 1), np.float32)}, np.zeros(1, np.int64)
    report = classifier_report(["a", "b"])
    one = msgspec.structs.replace(
        report,
        rows=1,
        labels=("only",),
        history={},
        fit=None,
        metrics=task.metrics(outputs, targets, ("only",)),
        interval=bootstrap(task, outputs, targets, Bootstrap(resamples=10)),
    )
    assert "only" in Page(written(tmp_path, one)).text


def test_a_detectors_page_has_average_precisions_and_curves(tmp_path):
    rates = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4}
    report = classifier_report(["cat", "dog"])
    metrics = msgspec.structs.replace(
        report.metrics,
        main="map_50",
        values={"map_50": 0.4321, "map": 0.2},
        per_class={"cat": rates | {"average_precision": 0.8765}, "dog": rates | {"support": 0}},
        confusion=(),
        curves={"precision_recall/cat": {"x": [0.1, 0.5], "y": [1.0, 0.8]}},
    )
    write_report(msgspec.structs.replace(report, metrics=metrics), tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    for words in (
        "mAP@0.5",
        "mAP@[.5:.95]",
        "average precision",
        "0.8765",
        "objects",
        "Precision and recall",
    ):
        assert words in page.text
