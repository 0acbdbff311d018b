import msgspec
import pytest

from modelyard import nets
from modelyard.errors import InvalidInput
from modelyard.nets import Shape
from modelyard.types.tensor import TensorSpec


def _shape(features: int, classes: int | None = None) -> Shape:
    probabilities = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, classes or 0))
    prediction = TensorSpec(name="prediction", datatype="FP32", shape=(-1,))
    return Shape(
        inputs=(TensorSpec(name="features", datatype="FP32", shape=(-1, features)),),
        outputs=(probabilities if classes else prediction,),
        preprocessing={},
    )


def _build(name: str, shape: Shape, **config: object) -> object:
    net = nets.load(name)
    return net.build(msgspec.convert(config, net.config), shape)


@pytest.mark.parametrize(
    ("name", "config", "attributes"),
    [
        ("linear_regression", {"alpha": 2.0}, {"alpha": 2.0}),
        ("logistic_regression", {"c": 0.5, "max_iterations": 7}, {"C": 0.5, "max_iter": 7}),
        ("svm", {"kernel": "linear", "epsilon": 0.3}, {"kernel": "linear", "epsilon": 0.3}),
        ("decision_tree", {"max_depth": 3, "min_leaf": 5}, {"max_depth": 3, "min_samples_leaf": 5}),
        ("random_forest", {"trees": 9, "max_features": 0.5}, {"n_estimators": 9, "max_features": 0.5}),
        ("gradient_boosting", {"trees": 9, "learning_rate": 0.2}, {"n_estimators": 9, "learning_rate": 0.2}),
    ],
)
def test_the_configuration_reaches_the_estimator(
    name: str, config: dict[str, object], attributes: dict[str, object]
) -> None:
    classes = 2 if name == "logistic_regression" else None
    estimator = _build(name, _shape(4, classes), **config)
    assert {key: getattr(estimator, key) for key in attributes} == attributes


@pytest.mark.parametrize("name", ["svm", "decision_tree", "random_forest", "gradient_boosting"])
def test_classifiers_and_regressors_by_the_output(name: str) -> None:
    assert hasattr(_build(name, _shape(4, 3)), "predict_proba")
    assert not hasattr(_build(name, _shape(4)), "predict_proba")


def test_polynomial_terms_are_counted_before_they_are_made() -> None:
    from sklearn.preprocessing import PolynomialFeatures

    from modelyard.nets.polynomial_regression import PolynomialRegression, _terms

    for degree in (1, 2, 3):
        for only in (False, True):
            config = PolynomialRegression(degree=degree, interactions_only=only)
            theirs = PolynomialFeatures(degree, interaction_only=only, include_bias=False).fit([[0.0] * 5])
            assert _terms(config, 5) == theirs.n_output_features_
    with pytest.raises(InvalidInput, match="too many terms"):
        _build("polynomial_regression", _shape(500), degree=3)
