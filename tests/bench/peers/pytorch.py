"""Training steps of the benchmark networks in PyTorch: one JSON line per network.

Usage: pytorch.py THREADS NETWORK...
The batch is the same in every step and lies in memory: only the step is timed.
"""

import json
import statistics
import sys
import time

import torch
from torch import nn


def convolutional(pool, channels=(32, 64), kernel=3, norm=False, stride=1):
    layers, size, before = [], 28, 1
    for after in channels:
        layers.append(nn.Conv2d(before, after, kernel, stride=stride))
        size = (size - kernel) // stride + 1
        if norm:
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.ReLU())
        if pool:
            layers.append(pool(2))
            size //= 2
        before = after
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(size * size * before, 64), nn.ReLU(), nn.Linear(64, 10)
    )


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.entry, self.exit = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, steps, width = x.shape
        parts = self.entry(x).view(batch, steps, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.exit(y.transpose(1, 2).reshape(batch, steps, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.first, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.second, self.wide = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.first(x))
        return x + self.narrow(nn.functional.gelu(self.wide(self.second(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, vocab=65, context=64, width=128, heads=4, depth=4):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.positions = nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)

    def forward(self, tokens):
        x = self.blocks(self.embedding(tokens) + self.positions)
        return self.head(self.norm(x)).transpose(1, 2)


class Writer(nn.Module):
    def __init__(self, cell, vocab=65, units=128):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(vocab, 32), cell(32, units, batch_first=True)
        self.head = nn.Linear(units, vocab)

    def forward(self, tokens):
        return self.head(self.cell(self.embedding(tokens))[0]).transpose(1, 2)


class Basic(nn.Module):
    def __init__(self, before, after, stride=1):
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.past = nn.Identity()
        if stride != 1 or before != after:
            self.past = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x):
        return nn.functional.relu(self.past(x) + self.path(x))


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Basic(16, 16),
        Basic(16, 32, 2),
        Basic(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


# Batch, shape of an example (None: 64 tokens), classes, network.
NETWORKS = {
    "cnn": (128, (1, 28, 28), 10, lambda: convolutional(nn.MaxPool2d)),
    "cnn_average": (128, (1, 28, 28), 10, lambda: convolutional(nn.AvgPool2d)),
    "cnn_stride": (128, (1, 28, 28), 10, lambda: convolutional(None, stride=2)),
    "cnn_norm": (128, (1, 28, 28), 10, lambda: convolutional(nn.MaxPool2d, norm=True)),
    "cnn_5x5": (128, (1, 28, 28), 10, lambda: convolutional(nn.MaxPool2d, kernel=5)),
    "cnn_24_48": (128, (1, 28, 28), 10, lambda: convolutional(nn.MaxPool2d, channels=(24, 48))),
    "mlp": (
        64,
        (784,),
        10,
        lambda: nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        ),
    ),
    "gpt": (12, None, 65, Gpt),
    "lstm": (32, None, 65, lambda: Writer(nn.LSTM)),
    "gru": (32, None, 65, lambda: Writer(nn.GRU)),
    "resnet": (64, (3, 32, 32), 10, resnet),
    "tiny": (16, (4,), 3, lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))),
}


def main():
    threads, names = int(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    for name in names:
        batch, shape, classes, make = NETWORKS[name]
        model, loss = make(), nn.CrossEntropyLoss()
        if shape is None:
            decay = 0.1 if name == "gpt" else 0.0
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=decay)
            x, y = torch.randint(0, classes, (2, batch, 64))
        else:
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
            x, y = torch.rand(batch, *shape), torch.randint(0, classes, (batch,))

        def step():
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

        for _ in range(20):
            step()
        times = []
        until = time.perf_counter() + 3
        while time.perf_counter() < until:
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        print(
            json.dumps(
                {
                    "framework": f"PyTorch {torch.__version__}",
                    "network": name,
                    "threads": threads,
                    "median_ms": statistics.median(times) * 1e3,
                }
            ),
            flush=True,
        )


main()
