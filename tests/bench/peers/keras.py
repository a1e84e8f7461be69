"""Training steps of the benchmark networks in Keras on TensorFlow: one JSON line per network.

Usage: keras.py THREADS NETWORK...
A compiled training step on a batch that lies in memory; the fastest way Keras has to call one.
"""

import json
import os
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# This file has the name of the package: its folder must not be searched for it.
sys.path.pop(0)

import keras
import numpy
import tensorflow
from keras import layers


def convolutional(pool, channels=(32, 64), kernel=3, norm=False, stride=1):
    parts = [keras.Input((28, 28, 1))]
    for count in channels:
        parts.append(layers.Conv2D(count, kernel, strides=stride))
        if norm:
            parts.append(layers.BatchNormalization())
        parts.append(layers.ReLU())
        if pool:
            parts.append(pool(2))
    return keras.Sequential(parts + [layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(10)])


def dense(size, hidden, activation, classes):
    hidden = [layers.Dense(count, activation) for count in hidden]
    return keras.Sequential([keras.Input((size,))] + hidden + [layers.Dense(classes)])


NETWORKS = {
    "cnn": (128, (28, 28, 1), 10, lambda: convolutional(layers.MaxPooling2D)),
    "cnn_average": (128, (28, 28, 1), 10, lambda: convolutional(layers.AveragePooling2D)),
    "cnn_stride": (128, (28, 28, 1), 10, lambda: convolutional(None, stride=2)),
    "cnn_norm": (128, (28, 28, 1), 10, lambda: convolutional(layers.MaxPooling2D, norm=True)),
    "cnn_5x5": (128, (28, 28, 1), 10, lambda: convolutional(layers.MaxPooling2D, kernel=5)),
    "cnn_24_48": (128, (28, 28, 1), 10, lambda: convolutional(layers.MaxPooling2D, channels=(24, 48))),
    "mlp": (64, (784,), 10, lambda: dense(784, (256, 128), "relu", 10)),
    "tiny": (16, (4,), 3, lambda: dense(4, (16,), "tanh", 3)),
}


def main():
    threads, names = int(sys.argv[1]), sys.argv[2:]
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    for name in names:
        batch, shape, classes, make = NETWORKS[name]
        model = make()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(model.trainable_variables)
        x = tensorflow.constant(numpy.random.rand(batch, *shape).astype("float32"))
        y = tensorflow.constant(numpy.random.randint(0, classes, batch))

        @tensorflow.function
        def step():
            with tensorflow.GradientTape() as tape:
                value = loss(y, model(x, training=True))
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(value, variables), variables)
            return value

        for _ in range(20):
            step().numpy()
        times = []
        until = time.perf_counter() + 3
        while time.perf_counter() < until:
            start = time.perf_counter()
            step().numpy()
            times.append(time.perf_counter() - start)
        print(
            json.dumps(
                {
                    "framework": f"Keras {keras.__version__}",
                    "network": name,
                    "threads": threads,
                    "median_ms": statistics.median(times) * 1e3,
                }
            ),
            flush=True,
        )


main()
