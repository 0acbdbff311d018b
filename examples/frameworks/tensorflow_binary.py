"""TensorFlow: a dense network for two classes, with sigmoid.

yard data add breast-cancer
yard run examples/frameworks/tensorflow_binary.py --data breast-cancer
"""

import numpy as np
import tensorflow as tf

import modelyard

tf.keras.utils.set_random_seed(0)
data = modelyard.dataset("breast-cancer")
x_train, y_train, x_test, y_test = data.arrays()

normalization = tf.keras.layers.Normalization()
normalization.adapt(x_train)
model = tf.keras.Sequential(
    [
        tf.keras.Input(shape=(30,)),
        normalization,
        tf.keras.layers.Dense(16, activation="relu"),
        tf.keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])


class Report(tf.keras.callbacks.Callback):
    """Sends each epoch's figures to the run."""

    def on_epoch_end(self, epoch, logs=None):
        modelyard.log_metrics(logs or {}, step=epoch + 1)


epochs = modelyard.params().get("epochs", 30)
model.fit(x_train, y_train, epochs=epochs, batch_size=16, verbose=2, callbacks=[Report()])

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict(x_test, verbose=0), delimiter=",")
modelyard.log_artifact("predictions.csv")
modelyard.log_model(model, name="tensorflow-binary", task="tabular-classification", labels=data.class_names)
