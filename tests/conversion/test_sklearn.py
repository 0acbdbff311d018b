"""scikit-learn estimators into packages, held to the estimator's own answers, on real data."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import compose, datasets, ensemble, linear_model, pipeline, preprocessing, svm, tree

from modelyard import conversion
from modelyard.conversion import Options
from modelyard.conversion.contract import Origin
from modelyard.engines import open_model
from modelyard.errors import InvalidInput
from modelyard.types.dataset import Column, Schema

CLASSES = Options(task="tabular-classification")
NUMBERS = Options(task="tabular-regression")
WINE, KINDS = datasets.load_wine(return_X_y=True)
DIABETES, PROGRESS = datasets.load_diabetes(return_X_y=True)


def predict(folder: Path, rows: np.ndarray) -> Any:
    model = open_model(folder)
    names = [i.name for i in model.manifest.signature.inputs]
    (answer,) = model.predict({name: rows[:, k] for k, name in enumerate(names)}).values()
    return answer


def test_probabilities_are_the_estimators(tmp_path: Path) -> None:
    model = tree.DecisionTreeClassifier(max_depth=3, random_state=0).fit(WINE, KINDS)
    made = conversion.package(model, tmp_path / "p", CLASSES, example=WINE)
    assert (made.format, made.manifest.labels) == ("onnx", ("0", "1", "2"))
    assert np.allclose(predict(tmp_path / "p", WINE), model.predict_proba(WINE), atol=1e-6)


def test_classes_are_called_as_the_data_set_calls_them(tmp_path: Path) -> None:
    model = tree.DecisionTreeClassifier().fit(WINE, KINDS)
    origin = Origin(class_names=("barolo", "grignolino", "barbera"))
    made = conversion.package(model, tmp_path / "p", CLASSES, example=WINE, origin=origin)
    assert made.manifest.labels == ("barolo", "grignolino", "barbera")


@pytest.mark.parametrize(
    "names", [None, np.array(["barolo", "grignolino", "barbera"])], ids=["numbers", "texts"]
)
def test_without_probabilities_the_predicted_class_has_score_1(tmp_path: Path, names: Any) -> None:
    kinds = KINDS if names is None else names[KINDS]
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC()).fit(WINE, kinds)
    made = conversion.package(model, tmp_path / "p", CLASSES, example=WINE)
    assert "the class that it predicts has score 1" in " ".join(made.notes)
    labels = np.array(made.manifest.labels)
    found = predict(tmp_path / "p", WINE)
    assert (labels[found.argmax(axis=1)] == model.predict(WINE).astype(str)).all()
    assert set(np.unique(found)) == {0.0, 1.0}


def test_what_is_exported_wrongly_is_served_by_its_own_framework_and_said_so(tmp_path: Path) -> None:
    """skl2onnx gets this pipeline wrong (design.md, Parity); parity finds it out."""
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), ensemble.HistGradientBoostingRegressor(random_state=0)
    ).fit(DIABETES, PROGRESS)
    made = conversion.package(model, tmp_path / "p", NUMBERS, example=DIABETES)
    assert made.format == "skops"
    assert any("not as onnx: prediction at batch size 1" in note for note in made.notes)
    assert np.allclose(predict(tmp_path / "p", DIABETES), model.predict(DIABETES), rtol=1e-5)


def test_a_regression_answers_numbers_in_the_targets_unit(tmp_path: Path) -> None:
    model = pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge())
    model.fit(DIABETES, PROGRESS)
    schema = Schema(columns=tuple(Column(name=n, kind="number") for n in (*"abcdefghij", "y")), label="y")
    made = conversion.package(model, tmp_path / "p", example=DIABETES, origin=Origin(schema=schema))
    assert made.manifest.task == "tabular-regression"
    assert [i.name for i in made.manifest.signature.inputs] == list("abcdefghij")
    assert np.allclose(predict(tmp_path / "p", DIABETES), model.predict(DIABETES), rtol=1e-4)


def frame() -> tuple[pd.DataFrame, np.ndarray]:
    table = pd.DataFrame({"age": [20, 30, 40, 50.5] * 20, "city": ["Rome", "Paris", "Rome", "Oslo"] * 20})
    return table, np.array(["no", "yes"] * 40)


def test_a_pipeline_that_picks_columns_is_fed_texts_as_they_are(tmp_path: Path) -> None:
    table, kinds = frame()
    model = pipeline.make_pipeline(
        compose.ColumnTransformer(
            [
                ("numbers", preprocessing.StandardScaler(), ["age"]),
                ("texts", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ]
        ),
        linear_model.LogisticRegression(),
    ).fit(table, kinds)
    made = conversion.package(model, tmp_path / "p", CLASSES, example=table)
    assert [(i.name, i.datatype) for i in made.manifest.signature.inputs] == [
        ("age", "FP64"),
        ("city", "BYTES"),
    ]
    opened = open_model(tmp_path / "p")
    asked = {"age": [33, 21.5], "city": ["Oslo", "never seen"]}
    found = opened.predict(opened.prepared.decode(opened.task.sample(asked)))["probabilities"]
    assert np.allclose(found, model.predict_proba(pd.DataFrame(asked)), atol=1e-5)


def test_a_skops_file_is_brought(tmp_path: Path) -> None:
    import skops.io

    model = linear_model.LogisticRegression(max_iter=5000).fit(WINE, KINDS)
    skops.io.dump(model, tmp_path / "model.skops")
    made = conversion.package_file(tmp_path / "model.skops", "skops", tmp_path / "p", CLASSES)
    assert made.format == "onnx"
    assert np.allclose(predict(tmp_path / "p", WINE), model.predict_proba(WINE), atol=1e-4)


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (svm.SVC(), WINE, "not fitted yet"),
        (tree.DecisionTreeClassifier().fit(WINE, KINDS), WINE[:, :3], r"allowed: \[rows, 13\]"),
        (tree.DecisionTreeClassifier().fit(WINE, KINDS), np.array([["a"] * 13]), "takes numbers"),
        (preprocessing.StandardScaler().fit(WINE), WINE, "one input|answers|classes|one output"),
        (object(), None, "no model that can be packaged"),
        ("model.pkl", None, "no model that can be packaged"),
    ],
)
def test_what_cannot_be_packaged_is_refused_by_name(
    tmp_path: Path, model: Any, example: Any, message: str
) -> None:
    options = NUMBERS if isinstance(model, preprocessing.StandardScaler) else CLASSES
    with pytest.raises(InvalidInput, match=message):
        conversion.package(model, tmp_path / "p", options, example=example)
    assert not (tmp_path / "p").exists()
