"""scikit-learn: a pipeline over a data frame with texts and missing values, as they are.

pip install palmerpenguins                                       (344 penguins; CC0)
yard data add penguins penguins.csv --label species
yard run examples/frameworks/sklearn_columns.py --data penguins
"""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import modelyard

data = modelyard.dataset("penguins")
train, test = data.frame("train"), data.frame("test")
numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
texts = ["island"]

model = make_pipeline(
    ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
        ]
    ),
    LogisticRegression(max_iter=1000),
)
model.fit(train[numbers + texts], train["species"])

accuracy = model.score(test[numbers + texts], test["species"])
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict_proba(test[numbers + texts]), delimiter=",")
modelyard.log_artifact("predictions.csv")
modelyard.log_model(
    model, name="sklearn-columns", task="tabular-classification", example=test[numbers + texts]
)
