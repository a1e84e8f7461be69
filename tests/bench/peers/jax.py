"""Training steps of the benchmark networks in JAX: one JSON line per network.

Usage: jax.py THREADS NETWORK...
A jitted step with Adam (AdamW for gpt) written out, on a batch that lies in memory. JAX has no setting for its
threads; what starts this keeps it to as many cores. Batch norm is without its running averages.
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


def make_gpt(key, vocab=65, context=64, width=128, depth=4):
    def block(key):
        a, b, c, d = jax.random.split(key, 4)
        norm = (jnp.ones(width), jnp.zeros(width))
        return (
            norm,
            dense(a, (width, 3 * width)) + dense(b, (width, width)),
            norm,
            dense(c, (width, 4 * width)) + dense(d, (4 * width, width)),
        )

    a, b, c, *keys = jax.random.split(key, 3 + depth)
    table = 0.05 * jax.random.normal(a, (vocab, width))
    positions = 0.02 * jax.random.normal(b, (context, width))
    head = glorot(c, (width, vocab), width, vocab)
    return (table, positions, [block(k) for k in keys], (jnp.ones(width), jnp.zeros(width)), head)


def layer_norm(norm, x):
    x = x - x.mean(-1, keepdims=True)
    return x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-3) * norm[0] + norm[1]


def apply_gpt(parameters, tokens, heads=4):
    table, positions, blocks, last, head = parameters
    x = table[tokens] + positions
    batch, steps, width = x.shape
    mask = jnp.tril(jnp.ones((steps, steps), bool))
    for first, attention, second, wide in blocks:
        (entry, exit), (up, down) = attention, wide
        y = layer_norm(first, x) @ entry[0] + entry[1]
        q, k, v = jnp.split(y.reshape(batch, steps, 3 * heads, width // heads), 3, axis=2)
        scores = jnp.einsum("bthe,buhe->bhtu", q, k) * (width // heads) ** -0.5
        weights = jax.nn.softmax(jnp.where(mask, scores, -1e9))
        y = jnp.einsum("bhtu,buhe->bthe", weights, v).reshape(batch, steps, width)
        x = x + y @ exit[0] + exit[1]
        y = jax.nn.gelu(layer_norm(second, x) @ up[0] + up[1], approximate=True)
        x = x + y @ down[0] + down[1]
    return layer_norm(last, x) @ head


def make_writer(gates, vocab=65, size=32, units=128):
    def make(key):
        a, b, c, d = jax.random.split(key, 4)
        wide = gates * units
        cell = (glorot(b, (size, wide), size, wide), glorot(c, (units, wide), units, wide), jnp.zeros((2, wide)))
        return (0.05 * jax.random.normal(a, (vocab, size)), cell, dense(d, (units, vocab)))

    return make


def lstm_step(h, c, x, y):
    i, f, g, o = jnp.split(x + y, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def gru_step(h, c, x, y):
    (xz, xr, xg), (hz, hr, hg) = jnp.split(x, 3, axis=-1), jnp.split(y, 3, axis=-1)
    z = jax.nn.sigmoid(xz + hz)
    return z * h + (1 - z) * jnp.tanh(xg + jax.nn.sigmoid(xr + hr) * hg), c


def apply_writer(cell):
    def apply(parameters, tokens):
        table, (entry, recurrent, bias), head = parameters
        inputs = jnp.swapaxes(table[tokens] @ entry + bias[0], 0, 1)

        def one(state, x):
            h, c = cell(*state, x, state[0] @ recurrent + bias[1])
            return (h, c), h

        zeros = jnp.zeros((tokens.shape[0], recurrent.shape[0]))
        outputs = lax.scan(one, (zeros, zeros), inputs)[1]
        return apply_dense(head, jnp.swapaxes(outputs, 0, 1), None)

    return apply


def make_normed(key, kernel, before, after):
    fan = kernel * kernel
    weights = glorot(key, (kernel, kernel, before, after), fan * before, fan * after)
    return (weights, jnp.ones(after), jnp.zeros(after))


def make_resnet(key):
    first, last, *keys = jax.random.split(key, 5)
    blocks, before = [], 16
    for key, after in zip(keys, (16, 32, 64)):
        a, b, c = jax.random.split(key, 3)
        past = [] if before == after else [make_normed(c, 1, before, after)]
        blocks.append((make_normed(a, 3, before, after), make_normed(b, 3, after, after), past))
        before = after
    return (make_normed(first, 3, 3, 16), blocks, dense(last, (64, 10)))


def normed(parameters, x, stride=1):
    weights, gamma, beta = parameters
    form = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(x, weights, (stride, stride), "SAME", dimension_numbers=form)
    x = x - x.mean((0, 1, 2))
    return x * lax.rsqrt((x * x).mean((0, 1, 2)) + 1e-3) * gamma + beta


def apply_resnet(parameters, x):
    first, blocks, last = parameters
    x = jax.nn.relu(normed(first, x))
    for a, b, past in blocks:
        stride = 2 if past else 1
        y = normed(b, jax.nn.relu(normed(a, x, stride)))
        x = jax.nn.relu(y + (normed(past[0], x, stride) if past else x))
    return apply_dense(last, x.mean((1, 2)), None)


# Batch, shape of an example (None: 64 tokens), classes, parameters, network.
NETWORKS = {
    "cnn": (128, (28, 28, 1), 10, *convolutional(max_pool)),
    "cnn_average": (128, (28, 28, 1), 10, *convolutional(average_pool)),
    "cnn_stride": (128, (28, 28, 1), 10, *convolutional(None, stride=2)),
    "cnn_norm": (128, (28, 28, 1), 10, *convolutional(max_pool, norm=True)),
    "cnn_5x5": (128, (28, 28, 1), 10, *convolutional(max_pool, kernel=5)),
    "cnn_24_48": (128, (28, 28, 1), 10, *convolutional(max_pool, channels=(24, 48))),
    "mlp": (64, (784,), 10, lambda k: dense(k, (784, 256, 128, 10)), lambda p, x: apply_dense(p, x, jax.nn.relu)),
    "gpt": (12, None, 65, make_gpt, apply_gpt),
    "lstm": (32, None, 65, make_writer(4), apply_writer(lstm_step)),
    "gru": (32, None, 65, make_writer(3), apply_writer(gru_step)),
    "resnet": (64, (32, 32, 3), 10, make_resnet, apply_resnet),
    "tiny": (16, (4,), 3, lambda k: dense(k, (4, 16, 3)), lambda p, x: apply_dense(p, x, jnp.tanh)),
}


def main():
    threads, names = int(sys.argv[1]), sys.argv[2:]
    for name in names:
        batch, shape, classes, make, apply = NETWORKS[name]
        keys = jax.random.split(jax.random.PRNGKey(0), 3)
        parameters = make(keys[0])
        if shape is None:
            x, y = jax.random.randint(keys[1], (2, batch, 64), 0, classes)
        else:
            x = jax.random.uniform(keys[1], (batch, *shape))
            y = jax.random.randint(keys[2], (batch,), 0, classes)
        decay = 0.1 if name == "gpt" else 0.0
        zeros = jax.tree_util.tree_map(jnp.zeros_like, parameters)

        def loss(parameters):
            logits = jax.nn.log_softmax(apply(parameters, x))
            return -jnp.mean(jnp.take_along_axis(logits, y[..., None], axis=-1))

        @jax.jit
        def step(state):
            p, m, v, t = state
            value, g = jax.value_and_grad(loss)(p)
            t = t + 1
            tree = jax.tree_util.tree_map
            m = tree(lambda m, g: m + 0.1 * (g - m), m, g)
            v = tree(lambda v, g: v + 0.001 * (g * g - v), v, g)
            rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            p = tree(lambda p, m, v: p - 1e-3 * decay * p - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v)
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
