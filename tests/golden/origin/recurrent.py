"""Recurrent layers with masks, as Keras computes them. Its GRU has the gates in the order z, r, h, as the library."""

import keras
import numpy as np
from golden import Cases, noise

keras.backend.set_floatx("float64")
KERAS = f"Keras {keras.__version__}"
cases = Cases("recurrent")
T, N, U = 5, 3, 4
x = 2 * noise(70, 2, T, N)
read = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]])
inputs = {"x": (f"f32[{T}, {N}]", x), "read": (f"f32[{T}]", read.astype(float))}


def run(name, layer, call, weights):
    layer.build(x.shape)
    values = [noise(seed, *w.shape) for seed, w in enumerate(layer.weights, start=1)]
    seeds = {f"{call}.{path}": seed for seed, path in enumerate(weights, start=1)}
    if call == "gru":
        # Keras has both biases in one array.
        values[2] = np.stack([noise(3, 3 * U), noise(4, 3 * U)])
        seeds["gru.recurrent_bias"] = 4
    layer.set_weights(values)
    y = layer(x, mask=read.astype(bool))
    options = ", return_sequences: true" if layer.return_sequences else ""
    options += ", go_backwards: true" if layer.go_backwards else ""
    result = np.asarray(y)
    if layer.return_sequences and layer.go_backwards:
        # Keras gives outputs in the order in which they are made.
        result = result[:, ::-1]
    cases.value(name, f"{KERAS} {type(layer).__name__}", f"x |> {call}({U}{options}, mask: read > 0.5)", inputs, result,
                seeds)


for sequences in (False, True):
    for backwards in (False, True):
        options = {"return_sequences": sequences, "go_backwards": backwards}
        note = (", all outputs" if sequences else "") + (", backwards" if backwards else "")
        for call, kind in (("simple_rnn", keras.layers.SimpleRNN), ("lstm", keras.layers.LSTM), ("gru", keras.layers.GRU)):
            run(f"{call} with a mask{note}", kind(U, **options), call, ["weight", "recurrent", "bias"])
cases.write()
