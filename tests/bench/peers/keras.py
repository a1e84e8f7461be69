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


class Positions(layers.Layer):
    def build(self, shape):
        self.rows = self.add_weight(shape=shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, x):
        return x + self.rows


class Gelu(layers.Layer):
    def call(self, x):
        return keras.activations.gelu(x, approximate=True)


def gpt(vocab=65, context=64, width=128, heads=4, depth=4):
    tokens = keras.Input((context,), dtype="int32")
    x = Positions()(layers.Embedding(vocab, width)(tokens))
    for _ in range(depth):
        y = layers.LayerNormalization()(x)
        attention = layers.MultiHeadAttention(heads, width // heads)
        x = x + attention(y, y, use_causal_mask=True)
        y = Gelu()(layers.Dense(4 * width)(layers.LayerNormalization()(x)))
        x = x + layers.Dense(width)(y)
    return keras.Model(tokens, layers.Dense(vocab, use_bias=False)(layers.LayerNormalization()(x)))


def writer(cell, vocab=65, context=64, units=128):
    tokens = keras.Input((context,), dtype="int32")
    x = cell(units, return_sequences=True)(layers.Embedding(vocab, 32)(tokens))
    return keras.Model(tokens, layers.Dense(vocab)(x))


def normed(x, filters, kernel, stride=1):
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def basic(x, filters, stride=1):
    y = normed(layers.ReLU()(normed(x, filters, 3, stride)), filters, 3)
    past = x if stride == 1 and x.shape[-1] == filters else normed(x, filters, 1, stride)
    return layers.ReLU()(past + y)


def resnet():
    image = keras.Input((32, 32, 3))
    x = layers.ReLU()(normed(image, 16, 3))
    x = basic(basic(basic(x, 16), 32, 2), 64, 2)
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


# Batch, shape of an example (None: 64 tokens), classes, network.
NETWORKS = {
    "cnn": (128, (28, 28, 1), 10, lambda: convolutional(layers.MaxPooling2D)),
    "cnn_average": (128, (28, 28, 1), 10, lambda: convolutional(layers.AveragePooling2D)),
    "cnn_stride": (128, (28, 28, 1), 10, lambda: convolutional(None, stride=2)),
    "cnn_norm": (128, (28, 28, 1), 10, lambda: convolutional(layers.MaxPooling2D, norm=True)),
    "cnn_5x5": (128, (28, 28, 1), 10, lambda: convolutional(layers.MaxPooling2D, kernel=5)),
    "cnn_24_48": (128, (28, 28, 1), 10, lambda: convolutional(layers.MaxPooling2D, channels=(24, 48))),
    "mlp": (64, (784,), 10, lambda: dense(784, (256, 128), "relu", 10)),
    "gpt": (12, None, 65, gpt),
    "lstm": (32, None, 65, lambda: writer(layers.LSTM)),
    "gru": (32, None, 65, lambda: writer(layers.GRU)),
    "resnet": (64, (32, 32, 3), 10, resnet),
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
        if shape is None:
            optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1 if name == "gpt" else 0.0)
            x, y = [tensorflow.constant(numpy.random.randint(0, classes, (batch, 64))) for _ in range(2)]
        else:
            optimizer = keras.optimizers.Adam(1e-3)
            x = tensorflow.constant(numpy.random.rand(batch, *shape).astype("float32"))
            y = tensorflow.constant(numpy.random.randint(0, classes, batch))
        optimizer.build(model.trainable_variables)

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
