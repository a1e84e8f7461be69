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
    "tiny": (16, (4,), 3, lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))),
}


def main():
    threads, names = int(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    for name in names:
        batch, shape, classes, make = NETWORKS[name]
        model, loss = make(), nn.CrossEntropyLoss()
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
