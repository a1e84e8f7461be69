"""Convolution and pools over volumes, as PyTorch computes them; `same` where its padding is that of Keras."""

import torch
import torch.nn.functional as F
from golden import Cases, noise

torch.set_default_dtype(torch.float64)
TORCH = f"PyTorch {torch.__version__.split('+')[0]}"
cases = Cases("volumes")
D, H, W, C = 5, 4, 6, 2
x = 2 * noise(60, 2, D, H, W, C) + 0.3
inputs = {"x": (f"f32[{D}, {H}, {W}, {C}]", x)}
image = torch.tensor(x).permute(0, 4, 1, 2, 3)


def back(y):
    return y.permute(0, 2, 3, 4, 1).numpy()


def convolution(name, call, kernel, pads=None, **options):
    filters = 4
    weight = torch.tensor(noise(1, *kernel, C // options.get("groups", 1), filters)).permute(4, 3, 0, 1, 2)
    padded = image if pads is None else F.pad(image, pads)
    y = F.conv3d(padded, weight, torch.tensor(noise(2, filters)), **options)
    cases.value(name, f"{TORCH} conv3d", f"x |> conv3d({filters}, {call})", inputs, back(y),
                {"conv3d.weight": 1, "conv3d.bias": 2})


convolution("conv3d", "kernel: 3", (3, 3, 3))
convolution("conv3d of another size", "kernel: [2, 1, 3], stride: [1, 2, 1]", (2, 1, 3), stride=(1, 2, 1))
convolution("conv3d with padding", "kernel: [3, 2, 3], padding: [1, 0, 2]", (3, 2, 3), padding=(1, 0, 2))
convolution("conv3d with a stride", "kernel: 2, stride: 2", (2, 2, 2), stride=2)
convolution("conv3d with a longer stride", "kernel: [1, 2, 2], stride: [3, 3, 2]", (1, 2, 2), stride=(3, 3, 2))
convolution("conv3d with a dilation", "kernel: 2, dilation: [2, 3, 1]", (2, 2, 2), dilation=(2, 3, 1))
convolution("conv3d in groups", "kernel: [2, 3, 2], groups: 2", (2, 3, 2), groups=2)
# Keras puts the odd one of an even number of windows at the end.
convolution("conv3d, same", "kernel: [2, 3, 3], padding: same", (2, 3, 3), pads=(1, 1, 1, 1, 0, 1))
convolution("conv3d, same with a stride", "kernel: 3, stride: 2, padding: same", (3, 3, 3),
            pads=(0, 1, 0, 1, 1, 1), stride=2)

cases.value("max pool", f"{TORCH} max_pool3d", "x |> max_pool3d(2)", inputs, back(F.max_pool3d(image, 2)))
cases.value("max pool with strides", f"{TORCH} max_pool3d", "max_pool3d(x, [3, 2, 3], stride: [1, 2, 1])", inputs,
            back(F.max_pool3d(image, (3, 2, 3), (1, 2, 1))))
cases.value("max pool with padding", f"{TORCH} max_pool3d", "max_pool3d(x, 3, stride: 2, padding: [1, 0, 1])", inputs,
            back(F.max_pool3d(image, 3, 2, (1, 0, 1))))
cases.value("mean pool", f"{TORCH} avg_pool3d", "x |> avg_pool3d([2, 2, 3])", inputs,
            back(F.avg_pool3d(image, (2, 2, 3))))
cases.value("mean pool with padding", f"{TORCH} avg_pool3d", "avg_pool3d(x, 3, stride: 2, padding: 1)", inputs,
            back(F.avg_pool3d(image, 3, 2, 1, count_include_pad=False)))
cases.write()
