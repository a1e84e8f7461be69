"""The peer of models/unet.nn: mean squared error of test images with the noise taken out.

Seeds differ by up to a tenth, so the figure is the mean over three: `unet.py FOLDER_WITH_IDX_FILES 0 1 2` gives
0.010926, 0.009199 and 0.011018."""

import sys

import torch
from torch import nn

from common import start, train


def pair(before, filters):
    return nn.Sequential(
        nn.Conv2d(before, filters, 3, padding=1), nn.SiLU(), nn.Conv2d(filters, filters, 3, padding=1), nn.SiLU()
    )


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.top, self.middle, self.bottom = pair(1, 16), pair(16, 32), pair(32, 32)
        self.up, self.out = pair(64, 32), nn.Sequential(pair(48, 16), nn.Conv2d(16, 1, 1))

    def forward(self, x):
        twice = lambda x: nn.functional.interpolate(x, scale_factor=2)
        top = self.top(x)
        middle = self.middle(nn.functional.max_pool2d(top, 2))
        bottom = self.bottom(nn.functional.max_pool2d(middle, 2))
        up = self.up(torch.cat([twice(bottom), middle], 1))
        return self.out(torch.cat([twice(up), top], 1))


def he(model):
    """First values by He and others (2015), uniform, but those of the last convolution by Glorot; biases 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    nn.init.xavier_uniform_(model.out[1].weight)
    return model


images, test = start()
error = lambda x: nn.functional.mse_loss(model(x + 0.5 * torch.randn_like(x)), x)
errors = []
for seed in [int(seed) for seed in sys.argv[2:]] or [0]:
    torch.manual_seed(seed)
    model = he(UNet())
    train([model], error, images, epochs=6, batch=32, peak=3e-3)
    with torch.no_grad():
        errors.append(error(test).item())
    print(f"unet seed {seed}: error {errors[-1]:.6f}", flush=True)
print(f"unet error {sum(errors) / len(errors):.6f}, the mean of {len(errors)}")
