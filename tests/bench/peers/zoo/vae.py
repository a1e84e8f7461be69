"""The peer of models/vae.nn: the negative ELBO in nats on the test images."""

import torch
from torch import nn

from common import glorot, start, train

images, test = start()
encoder = glorot(nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 32)))
decoder = glorot(nn.Sequential(nn.Linear(16, 400), nn.ReLU(), nn.Linear(400, 784)))


def negative_elbo(x):
    mean, log_variance = encoder(x).chunk(2, dim=1)
    code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    again = nn.functional.binary_cross_entropy_with_logits(decoder(code), x.flatten(1), reduction="sum")
    divergence = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum()
    return (again + divergence) / len(x)


train([encoder, decoder], negative_elbo, images, epochs=30, batch=64, peak=2e-3)
with torch.no_grad():
    print(f"vae negative_elbo {negative_elbo(test).item():.4f}")
