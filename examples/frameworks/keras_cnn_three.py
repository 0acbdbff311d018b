"""Keras: a convolutional network with three convolutions, written with the functional interface.

yard data add digits
yard run examples/frameworks/keras_cnn_three.py --data digits
"""

import keras
import numpy as np
from keras import layers

import modelyard

keras.utils.set_random_seed(0)
data = modelyard.dataset("digits")
x_train, y_train, x_test, y_test = data.arrays(size=(16, 16))
x_train, x_test = x_train[..., np.newaxis] / 255.0, x_test[..., np.newaxis] / 255.0

inputs = keras.Input(shape=(16, 16, 1), name="pixels")
x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
x = layers.BatchNormalization()(x)
x = layers.MaxPooling2D()(x)
x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
x = layers.MaxPooling2D()(x)
x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
x = layers.GlobalAveragePooling2D()(x)
outputs = layers.Dense(10)(x)  # logits
model = keras.Model(inputs, outputs, name="three_convolutions")
model.compile(
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    optimizer=keras.optimizers.Adam(3e-3),
    metrics=["accuracy"],
)
stop = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
epochs = modelyard.params().get("epochs", 30)
model.fit(x_train, y_train, validation_split=0.1, batch_size=64, epochs=epochs, callbacks=[stop], verbose=2)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
modelyard.log_metrics({"test_loss": loss, "test_accuracy": accuracy})
modelyard.log_summary(accuracy=accuracy)
np.savetxt("predictions.csv", model.predict(x_test, verbose=0), delimiter=",")
modelyard.log_artifact("predictions.csv")
modelyard.log_model(
    model, name="keras-cnn-three", task="image-classification", labels=data.class_names, example=x_test[:64]
)
