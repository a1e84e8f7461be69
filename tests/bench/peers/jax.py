"""Training steps of cnn, mlp and tiny in JAX: one JSON line per network; the variants of cnn are left out.

Usage: jax.py THREADS NETWORK...
A jitted step with Adam written out, on a batch that lies in memory. JAX has no setting for its threads;
what starts this keeps it to as many cores.
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


def make_cnn(key):
    a, b, c = jax.random.split(key, 3)
    first = (glorot(a, (3, 3, 1, 32), 9, 288), jnp.zeros(32))
    second = (glorot(b, (3, 3, 32, 64), 288, 576), jnp.zeros(64))
    return ([first, second], dense(c, (1600, 64, 10)))


def apply_cnn(parameters, x):
    convolutions, layers = parameters
    for w, b in convolutions:
        x = lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + b)
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return apply_dense(layers, x.reshape(x.shape[0], -1), jax.nn.relu)


NETWORKS = {
    "cnn": (128, (28, 28, 1), 10, make_cnn, apply_cnn),
    "mlp": (64, (784,), 10, lambda k: dense(k, (784, 256, 128, 10)), lambda p, x: apply_dense(p, x, jax.nn.relu)),
    "tiny": (16, (4,), 3, lambda k: dense(k, (4, 16, 3)), lambda p, x: apply_dense(p, x, jnp.tanh)),
}


def main():
    threads, names = int(sys.argv[1]), sys.argv[2:]
    for name in [name for name in names if name in NETWORKS]:
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
