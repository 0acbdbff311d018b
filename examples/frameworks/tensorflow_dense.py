"""TensorFlow: a dense network of three layers on 100 features, with softmax.

yard data add digits
yard run examples/frameworks/tensorflow_dense.py --data digits
"""

import numpy as np
import tensorflow as tf

import modelyard

tf.keras.utils.set_random_seed(0)
data = modelyard.dataset("digits")
x_train, y_train, x_test, y_test = data.arrays(size=(10, 10))  # 10 x 10 pixels: 100 features
x_train, x_test = x_train.reshape(-1, 100) / 255.0, x_test.reshape(-1, 100) / 255.0

model = tf.keras.Sequential(
    [
        tf.keras.Input(shape=(100,)),
        tf.keras.layers.Dense(128, activation="relu"),
        tf.keras.layers.Dense(64, activation="relu"),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x_train, y_train, epochs=modelyard.params().get("epochs", 20), batch_size=32, verbose=2)
for epoch, (loss, accuracy) in enumerate(
    zip(history.history["loss"], history.history["accuracy"], strict=True), start=1
):
    modelyard.log_metrics({"loss": loss, "accuracy": accuracy}, step=epoch)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict(x_test, verbose=0), delimiter=",")
modelyard.log_artifact("predictions.csv")
modelyard.log_model(
    model, name="tensorflow-dense", task="image-classification", labels=data.class_names, example=x_test[:64]
)
