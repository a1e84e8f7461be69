"""The peer of models/autoencoder.nn: mean squared error on the test images."""

import torch
from torch import nn

from common import glorot, start, train

images, test = start()
model = glorot(nn.Sequential(
    nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 16),
    nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 784), nn.Sigmoid(),
))
error = lambda x: nn.functional.mse_loss(model(x), x.flatten(1))
train([model], error, images, epochs=20, batch=64, peak=2e-3)
with torch.no_grad():
    print(f"autoencoder error {error(test).item():.6f}")
