"""scikit-learn: a support vector machine.

yard data add digits
yard run examples/frameworks/sklearn_svm.py --data digits
"""

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import modelyard

data = modelyard.dataset("digits")
x_train, y_train, x_test, y_test = data.arrays()
x_train, x_test = x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)

model = make_pipeline(StandardScaler(), SVC(C=modelyard.params().get("C", 5.0), gamma="scale"))
model.fit(x_train, y_train)

accuracy = model.score(x_test, y_test)
print(f"accuracy {accuracy:.4f}")
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict(x_test), fmt="%d")
modelyard.log_artifact("predictions.csv")
modelyard.log_model(model, name="sklearn-svm", task="image-classification", example=x_test[:64])
