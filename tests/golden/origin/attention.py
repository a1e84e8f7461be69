"""Attention and the blocks of the Transformer, as PyTorch computes them in f64; positions by their formulas."""

import numpy as np
import torch
from golden import Cases, noise
from torch import nn

torch.set_default_dtype(torch.float64)
TORCH = f"PyTorch {torch.__version__.split('+')[0]}"
cases = Cases("attention")
T, U, D, M, HEADS = 5, 7, 8, 6, 2


def tensor(a):
    return torch.tensor(np.asarray(a))


def fill(module, weights):
    """Sets parameters; linear weights are written `[in, out]` here."""
    state = module.state_dict()
    for name, value in weights.items():
        value = tensor(value)
        state[name] = value.T if name.endswith("weight") and value.dim() == 2 else value
    module.load_state_dict(state)
    return module.eval()




def self_paths(prefix, seed=1):
    names = ["qkv.weight", "qkv.bias", "out.weight", "out.bias"]
    return {f"{prefix}.{name}": seed + i for i, name in enumerate(names)}


x = 2 * noise(50, 2, T, D)
memory = 2 * noise(51, 2, U, M)
inputs = {"x": (f"f32[{T}, {D}]", x)}
mha = fill(nn.MultiheadAttention(D, HEADS, batch_first=True), {
    "in_proj_weight": noise(1, D, 3 * D), "in_proj_bias": noise(2, 3 * D),
    "out_proj.weight": noise(3, D, D), "out_proj.bias": noise(4, D)})
later = torch.triu(torch.ones(T, T, dtype=torch.bool), 1)
origin = f"{TORCH} nn.MultiheadAttention"
paths = self_paths("multi_head_attention")
q = tensor(x)
cases.value("self attention", origin, "x |> multi_head_attention(heads: 2)", inputs,
            mha(q, q, q)[0].detach(), paths)
cases.value("causal attention", origin, "x |> multi_head_attention(2, causal: true)", inputs,
            mha(q, q, q, attn_mask=later)[0].detach(), paths)
seen = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]])
cases.value("padding", origin + ", key_padding_mask", "x |> multi_head_attention(2, mask: seen > 0.5)",
            {**inputs, "seen": (f"f32[{T}]", seen)},
            mha(q, q, q, key_padding_mask=tensor(seen) < 0.5)[0].detach(), paths)
some = (noise(60, T, T) > -0.2) | np.eye(T, dtype=bool)
cases.value("a mask of pairs", origin + ", attn_mask", "x |> multi_head_attention(2, mask: some > 0.5)",
            {**inputs, "some": (f"f32[{T}, {T}]", np.stack([some, some]))},
            mha(q, q, q, attn_mask=~torch.tensor(some))[0].detach(), paths)
bare = nn.MultiheadAttention(D, HEADS, batch_first=True, bias=False)
fill(bare, {"in_proj_weight": noise(1, D, 3 * D), "out_proj.weight": noise(3, D, D)})
cases.value("attention without bias", origin, "x |> multi_head_attention(2, bias: false)", inputs,
            bare(q, q, q)[0].detach(), {k: v for k, v in paths.items() if "weight" in k})

cross = nn.MultiheadAttention(D, HEADS, batch_first=True, kdim=M, vdim=M)
kv, kvb = noise(12, M, 2 * D), noise(13, 2 * D)
fill(cross, {
    "q_proj_weight": noise(10, D, D), "k_proj_weight": kv[:, :D], "v_proj_weight": kv[:, D:],
    "in_proj_bias": np.concatenate([noise(11, D), kvb]),
    "out_proj.weight": noise(14, D, D), "out_proj.bias": noise(15, D)})
cross_paths = {"query.weight": 10, "query.bias": 11, "key_value.weight": 12, "key_value.bias": 13,
               "out.weight": 14, "out.bias": 15}
m = tensor(memory)
cases.value("cross attention", origin + " with kdim and vdim",
            "x |> multi_head_attention(2, memory: memory)",
            {**inputs, "memory": (f"f32[{U}, {M}]", memory)}, cross(q, m, m)[0].detach(),
            {f"multi_head_attention.{k}": v for k, v in cross_paths.items()})

units = 12
for first in [True, False]:
    layer = nn.TransformerEncoderLayer(D, HEADS, units, 0.0, "gelu", norm_first=first, batch_first=True)
    fill(layer, {
        "self_attn.in_proj_weight": noise(1, D, 3 * D), "self_attn.in_proj_bias": noise(2, 3 * D),
        "self_attn.out_proj.weight": noise(3, D, D), "self_attn.out_proj.bias": noise(4, D),
        "linear1.weight": noise(5, D, units), "linear1.bias": noise(6, units),
        "linear2.weight": noise(7, units, D), "linear2.bias": noise(8, D),
        "norm1.weight": noise(20, D), "norm1.bias": noise(21, D),
        "norm2.weight": noise(22, D), "norm2.bias": noise(23, D)})
    layer.train()  # in inference PyTorch takes a path of its own
    feed = {"feed_forward.wide.weight": 5, "feed_forward.wide.bias": 6, "feed_forward.narrow.weight": 7,
            "feed_forward.narrow.bias": 8, "norm.gamma": 20, "norm.beta": 21, "norm_2.gamma": 22, "norm_2.beta": 23}
    block = {**self_paths("attention"), **feed}
    cases.value(f"encoder, norm_first {first}", f"{TORCH} nn.TransformerEncoderLayer",
                f"x |> transformer_encoder(2, units: {units}, norm_first: {str(first).lower()})", inputs,
                layer(q).detach(), {f"transformer_encoder.{k}": v for k, v in block.items()})
    relu = nn.TransformerDecoderLayer(D, HEADS, units, 0.0, "relu", norm_first=first, batch_first=True)
    kv = noise(12, D, 2 * D)
    memory8 = 2 * noise(52, 2, U, D)
    fill(relu, {
        "self_attn.in_proj_weight": noise(1, D, 3 * D), "self_attn.in_proj_bias": noise(2, 3 * D),
        "self_attn.out_proj.weight": noise(3, D, D), "self_attn.out_proj.bias": noise(4, D),
        "multihead_attn.in_proj_weight": np.concatenate([noise(10, D, D), kv], axis=1),
        "multihead_attn.in_proj_bias": np.concatenate([noise(11, D), kvb]),
        "multihead_attn.out_proj.weight": noise(14, D, D), "multihead_attn.out_proj.bias": noise(15, D),
        "linear1.weight": noise(5, D, units), "linear1.bias": noise(6, units),
        "linear2.weight": noise(7, units, D), "linear2.bias": noise(8, D),
        "norm1.weight": noise(20, D), "norm1.bias": noise(21, D), "norm2.weight": noise(22, D),
        "norm2.bias": noise(23, D), "norm3.weight": noise(24, D), "norm3.bias": noise(25, D)})
    relu.train()
    block = {**self_paths("attention"), **{f"cross_attention.{k}": v for k, v in cross_paths.items()}, **feed,
             "norm_3.gamma": 24, "norm_3.beta": 25}
    hide = np.array([[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
    cases.value(f"decoder, norm_first {first}", f"{TORCH} nn.TransformerDecoderLayer",
                f"x |> transformer_decoder(2, memory: memory, units: {units}, activation: relu, "
                f"norm_first: {str(first).lower()}, memory_mask: seen > 0.5)",
                {**inputs, "memory": (f"f32[{U}, {D}]", memory8), "seen": (f"f32[{U}]", hide)},
                relu(q, tensor(memory8), tgt_mask=later, memory_key_padding_mask=tensor(hide) < 0.5).detach(),
                {f"transformer_decoder.{k}": v for k, v in block.items()})

# Vaswani and others (2017), section 3.5, entry by entry.
table = np.array([[np.sin(i / 10000 ** (c / D)) if c % 2 == 0 else np.cos(i / 10000 ** ((c - 1) / D))
                   for c in range(D)] for i in range(T)])
cases.value("sinusoidal positions", "Vaswani and others (2017), section 3.5", "x |> positional()", inputs, x + table)
slow = np.array([[np.sin(i / 100 ** (c / D)) if c % 2 == 0 else np.cos(i / 100 ** ((c - 1) / D))
                  for c in range(D)] for i in range(T)])
cases.value("positions with another base", "the same with base 100", "x |> positional(base: 100)", inputs, x + slow)


def turned(x, pair):
    """Su and others (2021), equation 15: each pair of channels times a rotation by `i * theta_j`."""
    out = np.zeros_like(x)
    for i in range(T):
        for j in range(D // 2):
            a, b = pair(j)
            theta = i * 10000 ** (-2 * j / D)
            rotation = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
            out[:, i, [a, b]] = x[:, i, [a, b]] @ rotation.T
    return out


cases.value("rotary, interleaved", "Su and others (2021), equation 15", "rotate(x, interleaved: true)", inputs,
            turned(x, lambda j: (2 * j, 2 * j + 1)))
cases.value("rotary, halves", "the same with pairs half the channels apart", "rotate(x)", inputs,
            turned(x, lambda j: (j, j + D // 2)))
cases.value("learned positions", "x plus the table", "x |> learned_positions", inputs, x + noise(9, T, D),
            {"learned_positions.weight": 9})
cases.write()
