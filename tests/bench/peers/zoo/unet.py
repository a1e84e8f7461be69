"""The peer of models/unet.nn: mean squared error of test images with the noise taken out."""

import torch
from torch import nn

from common import glorot, start, train


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


images, test = start()
model = glorot(UNet())
error = lambda x: nn.functional.mse_loss(model(x + 0.5 * torch.randn_like(x)), x)
train([model], error, images, epochs=4, batch=32, peak=2e-3)
with torch.no_grad():
    print(f"unet error {error(test).item():.6f}")
