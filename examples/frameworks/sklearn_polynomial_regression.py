"""scikit-learn: polynomial regression.

yard data add diabetes
yard run examples/frameworks/sklearn_polynomial_regression.py --data diabetes
"""

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import modelyard

x_train, y_train, x_test, y_test = modelyard.dataset("diabetes").arrays()
model = Pipeline(
    [
        ("scale", StandardScaler()),
        ("features", PolynomialFeatures(degree=modelyard.params().get("degree", 2), include_bias=False)),
        ("regression", Ridge(alpha=10.0)),
    ]
).fit(x_train, y_train)

predictions = model.predict(x_test)
modelyard.log_summary(rmse=root_mean_squared_error(y_test, predictions))
np.savetxt("predictions.csv", predictions)
modelyard.log_artifact("predictions.csv")
modelyard.log_model(model, name="sklearn-polynomial-regression", task="tabular-regression", example=x_test)
