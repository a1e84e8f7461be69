"""Training steps of the benchmark networks in JAX: one JSON line per network.

Usage: jax.py THREADS NETWORK...
A jitted step with Adam written out, on a batch that lies in memory. JAX has no setting for its threads;
what starts this keeps it to as many cores. Batch norm is without its running averages.
"""

import json
import statistics
import sys
import time

# This file has the name of the package: its folder must not be searched for it.
sys.path.pop(0)

import jax
import jax.numpy as jnp
from jax import lax


def glorot(key, shape, fan_in, fan_out):
    limit = (6 / (fan_in + fan_out)) ** 0.5
    return jax.random.uniform(key, shape, minval=-limit, maxval=limit)


def dense(key, sizes):
    keys = jax.random.split(key, len(sizes))
    pairs = zip(keys, sizes[:-1], sizes[1:])
    return [(glorot(k, (i, o), i, o), jnp.zeros(o)) for k, i, o in pairs]


def apply_dense(layers, x, activation):
    for w, b in layers[:-1]:
        x = activation(x @ w + b)
    w, b = layers[-1]
    return x @ w + b


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def average_pool(x):
    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def convolutional(pool, channels=(32, 64), kernel=3, norm=False, stride=1):
    """What makes the parameters of a variant of cnn, and what applies them."""

    def make(key):
        keys = jax.random.split(key, 3)
        convolutions, count, side = [], 1, 28
        for k, out in zip(keys, channels):
            w = glorot(k, (kernel, kernel, count, out), kernel * kernel * count, kernel * kernel * out)
            convolutions.append((w, jnp.zeros(out), jnp.ones(out), jnp.zeros(out)))
            count, side = out, (side - kernel) // stride + 1
            side = side // 2 if pool else side
        convolutions = [c if norm else c[:2] for c in convolutions]
        return (convolutions, dense(keys[2], (side * side * count, 64, 10)))

    def apply(parameters, x):
        convolutions, layers = parameters
        for w, b, *scales in convolutions:
            strides = (stride, stride)
            x = lax.conv_general_dilated(x, w, strides, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b
            if norm:
                mean, variance = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
                x = (x - mean) * lax.rsqrt(variance + 1e-3) * scales[0] + scales[1]
            x = jax.nn.relu(x)
            x = pool(x) if pool else x
        return apply_dense(layers, x.reshape(x.shape[0], -1), jax.nn.relu)

    return make, apply


NETWORKS = {
    "cnn": (128, (28, 28, 1), 10, *convolutional(max_pool)),
    "cnn_average": (128, (28, 28, 1), 10, *convolutional(average_pool)),
    "cnn_stride": (128, (28, 28, 1), 10, *convolutional(None, stride=2)),
    "cnn_norm": (128, (28, 28, 1), 10, *convolutional(max_pool, norm=True)),
    "cnn_5x5": (128, (28, 28, 1), 10, *convolutional(max_pool, kernel=5)),
    "cnn_24_48": (128, (28, 28, 1), 10, *convolutional(max_pool, channels=(24, 48))),
    "mlp": (64, (784,), 10, lambda k: dense(k, (784, 256, 128, 10)), lambda p, x: apply_dense(p, x, jax.nn.relu)),
    "tiny": (16, (4,), 3, lambda k: dense(k, (4, 16, 3)), lambda p, x: apply_dense(p, x, jnp.tanh)),
}


def main():
    threads, names = int(sys.argv[1]), sys.argv[2:]
    for name in names:
        batch, shape, classes, make, apply = NETWORKS[name]
        keys = jax.random.split(jax.random.PRNGKey(0), 3)
        parameters = make(keys[0])
        x = jax.random.uniform(keys[1], (batch, *shape))
        y = jax.random.randint(keys[2], (batch,), 0, classes)
        zeros = jax.tree_util.tree_map(jnp.zeros_like, parameters)

        def loss(parameters):
            logits = jax.nn.log_softmax(apply(parameters, x))
            return -jnp.mean(jnp.take_along_axis(logits, y[:, None], axis=1))

        @jax.jit
        def step(state):
            p, m, v, t = state
            value, g = jax.value_and_grad(loss)(p)
            t = t + 1
            tree = jax.tree_util.tree_map
            m = tree(lambda m, g: m + 0.1 * (g - m), m, g)
            v = tree(lambda v, g: v + 0.001 * (g * g - v), v, g)
            rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            p = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v)
            return (p, m, v, t), value

        state = (parameters, zeros, zeros, jnp.zeros(()))
        for _ in range(20):
            state, value = step(state)
            value.block_until_ready()
        times = []
        until = time.perf_counter() + 3
        while time.perf_counter() < until:
            start = time.perf_counter()
            state, value = step(state)
            value.block_until_ready()
            times.append(time.perf_counter() - start)
        print(
            json.dumps(
                {
                    "framework": f"JAX {jax.__version__}",
                    "network": name,
                    "threads": threads,
                    "median_ms": statistics.median(times) * 1e3,
                }
            ),
            flush=True,
        )


main()
