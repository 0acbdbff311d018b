"""scikit-learn: a decision tree.

yard data add wine
yard run examples/frameworks/sklearn_decision_tree.py --data wine
"""

import numpy as np
from sklearn.tree import DecisionTreeClassifier, export_text

import modelyard

data = modelyard.dataset("wine")
x_train, y_train, x_test, y_test = data.arrays()

model = DecisionTreeClassifier(max_depth=modelyard.params().get("max_depth", 4), random_state=0)
model.fit(x_train, y_train)

accuracy = model.score(x_test, y_test)
print(export_text(model))
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict_proba(x_test), delimiter=",")
modelyard.log_artifact("predictions.csv")
modelyard.log_model(model, name="sklearn-decision-tree", task="tabular-classification", example=x_test)
