"""What the peers of the zoo share: the digits, the initial values, the loop. The figures are those of models/*.nn."""

import gzip
import math
import pathlib
import sys

import numpy
import torch
from torch import nn


def read(folder, name):
    raw = gzip.open(pathlib.Path(folder) / (name + ".gz")).read()
    rank = raw[3]
    sizes = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    return numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * rank).reshape(sizes)


def digits(folder):
    """Images from 0 to 1, [n, 1, 28, 28]: for training and for the test."""
    parts = [read(folder, f"{part}-images-idx3-ubyte") for part in ("train", "t10k")]
    return [torch.tensor(part.astype(numpy.float32) / 255)[:, None] for part in parts]


def glorot(model):
    """The first values of nnc and Keras: weights by Glorot and Bengio, biases 0."""
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def train(models, loss, images, epochs, batch, peak):
    """Adam with a cosine from `peak` to 0; `loss(x)` is the mean over a batch."""
    parameters = [p for model in models for p in model.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=peak, eps=1e-7)
    total = epochs * math.ceil(len(images) / batch)
    step = 0
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for at in range(0, len(images), batch):
            for group in optimizer.param_groups:
                group["lr"] = peak * 0.5 * (1 + math.cos(math.pi * step / (total - 1)))
            value = loss(images[order[at : at + batch]])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            step += 1


def start():
    """The folder with the digits and the seed, from the command line."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER_WITH_IDX_FILES [SEED]")
    torch.manual_seed(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    torch.set_num_threads(2)
    return digits(sys.argv[1])
