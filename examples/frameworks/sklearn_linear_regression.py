"""scikit-learn: linear regression.

yard data add diabetes
yard run examples/frameworks/sklearn_linear_regression.py --data diabetes
"""

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error

import modelyard

x_train, y_train, x_test, y_test = modelyard.dataset("diabetes").arrays()
model = LinearRegression().fit(x_train, y_train)

predictions = model.predict(x_test)
modelyard.log_summary(rmse=root_mean_squared_error(y_test, predictions))
np.savetxt("predictions.csv", predictions)
modelyard.log_artifact("predictions.csv")
modelyard.log_model(model, name="sklearn-linear-regression", task="tabular-regression", example=x_test)
