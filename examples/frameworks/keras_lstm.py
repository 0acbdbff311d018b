"""Keras: stacked LSTMs over (timesteps, features), of any number of timesteps.

It reads a scan row by row, as a scanner gives it, and can be asked after any number of rows.

yard data add digits
yard run examples/frameworks/keras_lstm.py --data digits
"""

import keras
import numpy as np
from keras import layers

import modelyard

keras.utils.set_random_seed(0)
data = modelyard.dataset("digits")
x_train, y_train, x_test, y_test = data.arrays()  # 8 timesteps of 8 features
x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255

model = keras.Sequential(
    [
        keras.Input(shape=(None, 8), name="rows"),
        layers.LSTM(32, return_sequences=True),
        layers.LSTM(32),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=32, epochs=modelyard.params().get("epochs", 20), verbose=2)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
modelyard.log_metrics({"test_loss": loss, "test_accuracy": accuracy})
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict(x_test, verbose=0), delimiter=",")
np.savetxt("predictions-5-rows.csv", model.predict(x_test[:, :5], verbose=0), delimiter=",")
modelyard.log_artifact("predictions.csv")
modelyard.log_artifact("predictions-5-rows.csv")
modelyard.log_model(model, name="keras-lstm", task="tensors", example=x_test[:64])
