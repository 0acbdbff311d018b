"""TensorFlow: images of 28 x 28 pixels, flattened into a dense network.

yard data add fashion-mnist          (Debian's package dataset-fashion-mnist)
yard run examples/frameworks/tensorflow_flatten.py --data fashion-mnist
"""

import numpy as np
import tensorflow as tf

import modelyard

tf.keras.utils.set_random_seed(0)
name = modelyard.params().get("data", "fashion-mnist")
data = modelyard.dataset(name)
x_train, y_train, x_test, y_test = data.arrays(size=(28, 28))

model = tf.keras.Sequential(
    [
        tf.keras.Input(shape=(28, 28)),
        tf.keras.layers.Rescaling(1 / 255),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(128, activation="relu"),
        tf.keras.layers.Dropout(0.2),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=modelyard.params().get("epochs", 5), batch_size=64, verbose=2)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
modelyard.log_metrics({"test_loss": loss, "test_accuracy": accuracy})
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict(x_test, verbose=0), delimiter=",")
modelyard.log_artifact("predictions.csv")
modelyard.log_model(model, name="tensorflow-flatten", task="image-classification", labels=data.class_names)
