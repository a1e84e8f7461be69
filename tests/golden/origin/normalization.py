"""Norms and blocks, as Keras and PyTorch compute them; what they do not have by the papers' formulas."""

import keras
import numpy as np
import torch
from golden import Cases, noise

keras.backend.set_floatx("float64")
torch.set_default_dtype(torch.float64)
KERAS = f"Keras {keras.__version__}"
TORCH = f"PyTorch {torch.__version__.split('+')[0]}"
cases = Cases("normalization")
H, W, C = 4, 3, 6
x = 2 * noise(50, 2, H, W, C) + 0.3
inputs = {"x": (f"f32[{H}, {W}, {C}]", x)}


def run(layer, **weights):
    layer.build(x.shape)
    names = {w.name: w for w in layer.weights}
    for name, value in weights.items():
        names[name].assign(value)
    return np.asarray(layer(x))


affine = {"gamma": noise(1, C), "beta": noise(2, C)}


def seeds(layer, **more):
    return {f"{layer}.gamma": 1, f"{layer}.beta": 2, **{f"{layer}.{k}": v for k, v in more.items()}}


norms = keras.layers
cases.value("layer norm", f"{KERAS} LayerNormalization", "x |> layer_norm", inputs,
            run(norms.LayerNormalization(), **affine), seeds("layer_norm"))
cases.value("layer norm without beta", f"{KERAS} LayerNormalization", "x |> layer_norm(0.1, center: false)", inputs,
            run(norms.LayerNormalization(epsilon=0.1, center=False), gamma=noise(1, C)), {"layer_norm.gamma": 1})
cases.value("layer norm without gamma", f"{KERAS} LayerNormalization", "x |> layer_norm(scale: false)", inputs,
            run(norms.LayerNormalization(scale=False), beta=noise(2, C)), {"layer_norm.beta": 2})
cases.value("batch norm", f"{KERAS} BatchNormalization", "x |> batch_norm", inputs,
            run(norms.BatchNormalization(), **affine, moving_mean=noise(3, C), moving_variance=noise(4, C) + 1),
            seeds("batch_norm", moving_mean=3, moving_variance=4) | {"batch_norm.moving_variance": 1004})
cases.value("batch norm without gamma and beta", f"{KERAS} BatchNormalization",
            "x |> batch_norm(center: false, scale: false)", inputs,
            run(norms.BatchNormalization(center=False, scale=False), moving_mean=noise(3, C),
                moving_variance=noise(4, C) + 1), {"batch_norm.moving_mean": 3, "batch_norm.moving_variance": 1004})
cases.value("group norm", f"{KERAS} GroupNormalization", "x |> group_norm(3)", inputs,
            run(norms.GroupNormalization(3), **affine), seeds("group_norm"))
cases.value("group norm in PyTorch", f"{TORCH} nn.functional.group_norm",
            "x |> group_norm(2, epsilon: 1e-5, center: false, scale: false)", inputs,
            torch.nn.functional.group_norm(torch.tensor(x).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1))
cases.value("instance norm", f"{KERAS} GroupNormalization(groups=-1)", "x |> instance_norm", inputs,
            run(norms.GroupNormalization(-1), **affine), seeds("instance_norm"))
cases.value("instance norm in PyTorch", f"{TORCH} nn.functional.instance_norm",
            "x |> instance_norm(epsilon: 1e-5, center: false, scale: false)", inputs,
            torch.nn.functional.instance_norm(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
cases.value("rms norm", f"{KERAS} RMSNormalization", "x |> rms_norm", inputs,
            run(norms.RMSNormalization(), scale=noise(1, C)), {"rms_norm.gamma": 1})

row = noise(51, 2, C)
rows = {"x": (f"f32[{C}]", row)}
weight, gain = noise(7, C, 4), noise(8, 4)
cases.value("weight norm", "Salimans and Kingma (2016), equation 2", "x |> dense(4, bias: false, norm: weight_norm)",
            rows, row @ (gain * weight / np.linalg.norm(weight, axis=0)),
            {"dense.weight": 7, "dense.weight_norm.gain": 8})
u = noise(9, 4)
left = weight @ u / np.linalg.norm(weight @ u)
sigma = left @ weight @ (u / np.linalg.norm(u))
cases.value("spectral norm", "Miyato and others (2018), algorithm 1, the vectors as they stand",
            "x |> dense(4, bias: false, norm: spectral_norm)", rows, row @ weight / sigma,
            {"dense.weight": 7, "dense.spectral_norm.u": 9})

squeezed = x.mean((1, 2)) @ noise(10, C, 3) + noise(11, 3)
gate = 1 / (1 + np.exp(-(np.maximum(squeezed, 0) @ noise(12, 3, C) + noise(13, C))))
cases.value("squeeze and excite", "Hu and others (2018), equations 2 to 4", "x |> squeeze_excite(ratio: 2)", inputs,
            x * gate[:, None, None, :],
            {"squeeze_excite.squeeze.weight": 10, "squeeze_excite.squeeze.bias": 11,
             "squeeze_excite.excite.weight": 12, "squeeze_excite.excite.bias": 13})
opened = 1 / (1 + np.exp(-(row @ noise(14, C, C) + noise(15, C))))
made = np.maximum(row @ noise(16, C, C) + noise(17, C), 0)
cases.value("highway", "Srivastava and others (2015), equation 3", "x |> highway", rows,
            made * opened + row * (1 - opened),
            {"highway.gate.weight": 14, "highway.bias": 15, "highway.transform.weight": 16,
             "highway.transform.bias": 17})
separable = keras.layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=2)
separable.build(x.shape)
depth = noise(18, 3, 3, 1, 2 * C)
separable.set_weights([depth.reshape(3, 3, C, 2), noise(19, 1, 1, 2 * C, 5), noise(20, 5)])
cases.value("separable convolution", f"{KERAS} SeparableConv2D",
            "x |> separable_conv2d(5, kernel: 3, padding: same, multiplier: 2)", inputs, separable(x),
            {"separable_conv2d.depthwise.weight": 18, "separable_conv2d.pointwise.weight": 19,
             "separable_conv2d.pointwise.bias": 20})

caps = noise(53, 2, 5, 3)


def squash(s):
    n = (s * s).sum(-1, keepdims=True)
    return s * (n / (1 + n) / np.sqrt(n + 1e-9))


def softmax(b, axis=-1):
    e = np.exp(b - b.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def routed(u, w, rounds):
    """Sabour and others (2017), procedure 1."""
    votes = np.einsum("bne,nced->bncd", u, w)
    b = np.zeros(votes.shape[:3])
    for i in range(rounds):
        v = squash(np.einsum("bnc,bncd->bcd", softmax(b), votes))
        b = b + np.einsum("bncd,bcd->bnc", votes, v)
    return v


for rounds in [1, 3]:
    cases.value(f"routing, {rounds} rounds", "Sabour and others (2017), procedure 1",
                f"x |> squash |> capsule_routing(4, dim: 2, iterations: {rounds})", {"x": ("f32[5, 3]", 4 * caps)},
                routed(squash(4 * caps), noise(21, 5, 4, 3, 2), rounds), {"capsule_routing.weight": 21})
seq = noise(54, 2, 3, 4)
wide, wide_bias, narrow, narrow_bias = noise(22, 2, 4, 5), noise(23, 2, 5), noise(24, 2, 5, 4), noise(25, 2, 4)
share = softmax(seq @ noise(26, 4, 2) + noise(27, 2))
mix = sum(share[..., [k]] * (np.maximum(seq @ wide[k] + wide_bias[k], 0) @ narrow[k] + narrow_bias[k])
          for k in range(2))
cases.value("experts", "Jacobs and others (1991): the sum over the experts of gate times result",
            "x |> mixture_of_experts(2, units: 5, activation: relu)", {"x": ("f32[3, 4]", seq)}, mix,
            {"mixture_of_experts.wide": 22, "mixture_of_experts.wide_bias": 23, "mixture_of_experts.narrow": 24,
             "mixture_of_experts.narrow_bias": 25, "mixture_of_experts.gate.weight": 26,
             "mixture_of_experts.gate.bias": 27})
gates = softmax(3 * noise(55, 6, 4))
used = np.eye(4)[gates.argmax(-1)].mean(0)
balance = 4 * (used * gates.mean(0)).sum()
cases.value("load balance", "Fedus and others (2022), equations 4 to 6", "load_balance(x)", {"x": ("f32[4]", gates)},
            np.full(6, balance))
cases.write()
