"""Keras: a convolutional network with two convolutions.

yard data add digits
yard run examples/frameworks/keras_cnn_two.py --data digits
"""

import keras
import numpy as np
from keras import layers

import modelyard

keras.utils.set_random_seed(0)
data = modelyard.dataset("digits")
x_train, y_train, x_test, y_test = data.arrays(size=(28, 28))
x_train = np.expand_dims(x_train, -1).astype("float32") / 255
x_test = np.expand_dims(x_test, -1).astype("float32") / 255
y_train, y_test = keras.utils.to_categorical(y_train, 10), keras.utils.to_categorical(y_test, 10)

model = keras.Sequential(
    [
        keras.Input(shape=(28, 28, 1)),
        layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=64, epochs=modelyard.params().get("epochs", 6), verbose=2)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
modelyard.log_metrics({"test_loss": loss, "test_accuracy": accuracy})
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict(x_test, verbose=0), delimiter=",")
modelyard.log_artifact("predictions.csv")
modelyard.log_model(model, name="keras-cnn-two", task="image-classification", labels=data.class_names)
