"""Losses, as PyTorch and Keras compute them in f64 (one number for each example); others by their formulas."""

import keras
import numpy as np
import torch
import torch.nn.functional as F
from golden import Cases, noise

keras.backend.set_floatx("float64")
torch.set_default_dtype(torch.float64)
KERAS = f"Keras {keras.__version__}"
TORCH = f"PyTorch {torch.__version__.split('+')[0]}"
cases = Cases("losses")
N, C, D = 6, 5, 4
logits = 6 * noise(60, N, C)
label = np.array([0, 3, 4, 1, 2, 3])
guess, target = 4 * noise(61, N, D), 4 * noise(62, N, D)
bits = (noise(63, N, D) > 0).astype(np.float64)
classes = {"x": (f"f32[{C}]", logits), "k": (f"index<{C}>", label[:, None])}
numbers = {"x": (f"f32[{D}]", guess), "y": (f"f32[{D}]", target)}
binary = {"x": (f"f32[{D}]", guess), "y": (f"f32[{D}]", bits)}
t = torch.tensor


def keras_loss(loss, truth, guess, **config):
    """Of each example by itself."""
    return np.asarray(loss(reduction=None, **config)(truth, guess)).reshape(len(guess), -1).mean(1)


def slope(loss, x, *rest):
    """The gradient of the sum of a loss."""
    x = t(x).requires_grad_()
    loss(x, *rest).sum().backward()
    return x.grad


onehot = np.eye(C)[label]
losses = keras.losses
cases.value("cross-entropy", f"{TORCH} cross_entropy", "cross_entropy(x, k)", classes,
            F.cross_entropy(t(logits), t(label), reduction="none"))
cases.value("label smoothing", f"{TORCH} cross_entropy", "cross_entropy(x, k, smoothing: 0.2)", classes,
            F.cross_entropy(t(logits), t(label), reduction="none", label_smoothing=0.2))
steps = {"x": ("f32[3, 5]", 4 * noise(64, 4, 3, C)), "k": (f"index<{C}>[3]", [[1, 0, 0], [4, 2, 0], [0, 3, 3], [2, 2, 2]])}
flat, flat_k = t(steps["x"][1]).reshape(-1, C), t(steps["k"][1]).reshape(-1)
for word, number in [("pad", 0), ("2", 2)]:
    cases.value(f"cross-entropy without {word}", f"{TORCH} cross_entropy, ignore_index, the mean",
                f"batch_mean(cross_entropy(x, k, ignore: {word}))", steps,
                np.full(4, F.cross_entropy(flat, flat_k, ignore_index=number)))
cases.value("perplexity without pad", f"{TORCH} exp of cross_entropy, ignore_index",
            "perplexity(x, k, ignore: pad)", steps, np.full(4, np.exp(F.cross_entropy(flat, flat_k, ignore_index=0))))
cases.value("focal", f"{KERAS} CategoricalFocalCrossentropy", "focal(x, k)", classes,
            keras_loss(losses.CategoricalFocalCrossentropy, onehot, logits, from_logits=True))
cases.value("focal, gamma 1.5", f"{KERAS} CategoricalFocalCrossentropy", "focal(x, k, gamma: 1.5, alpha: 0.6)", classes,
            keras_loss(losses.CategoricalFocalCrossentropy, onehot, logits, from_logits=True, gamma=1.5, alpha=0.6))
cases.value("binary focal", f"{KERAS} BinaryFocalCrossentropy", "binary_focal(x, y)", binary,
            keras_loss(losses.BinaryFocalCrossentropy, bits, guess, from_logits=True))
cases.value("binary focal, balanced", f"{KERAS} BinaryFocalCrossentropy", "binary_focal(x, y, gamma: 3, alpha: 0.7)", binary,
            keras_loss(losses.BinaryFocalCrossentropy, bits, guess, from_logits=True, gamma=3,
                       apply_class_balancing=True, alpha=0.7))


def focal(x, k, gamma=2.0, alpha=0.25):
    log_p = F.log_softmax(x, -1).gather(1, k[:, None])[:, 0]
    return -alpha * (1 - log_p.exp()) ** gamma * log_p


cases.value("gradient of focal", f"{TORCH}, the formula of Lin and others (2017), equation 5",
            "grad(v => focal(v, k), x)", classes, slope(focal, logits, t(label)))
cases.value("log cosh", f"{KERAS} LogCosh", "log_cosh(x, y)", numbers, keras_loss(losses.LogCosh, target, guess))
cases.value("quantile", "Koenker and Bassett (1978)", "quantile(x, y, q: 0.8)", numbers,
            np.where(target > guess, 0.8 * (target - guess), 0.2 * (guess - target)).mean(1))
cases.value("poisson", f"{KERAS} Poisson", "poisson(x, y)", {"x": (f"f32[{D}]", guess + 3), "y": (f"f32[{D}]", target + 3)},
            keras_loss(losses.Poisson, target + 3, guess + 3))
cases.value("poisson of a logarithm", f"{TORCH} poisson_nll_loss", "poisson(x, y, log_input: true)", numbers,
            F.poisson_nll_loss(t(guess), t(target), reduction="none").mean(1))
signs = {"x": (f"f32[{D}]", guess), "y": (f"f32[{D}]", 2 * bits - 1)}
cases.value("hinge", f"{KERAS} Hinge", "hinge(x, y)", signs, keras_loss(losses.Hinge, 2 * bits - 1, guess))
cases.value("squared hinge", f"{KERAS} SquaredHinge", "hinge(x, y, squared: true)", signs,
            keras_loss(losses.SquaredHinge, 2 * bits - 1, guess))
for power, margin in [(1, 1.0), (2, 0.5)]:
    cases.value(f"multi-class margin, power {power}", f"{TORCH} multi_margin_loss",
                f"multi_margin(x, k, margin: {margin}, squared: {str(power == 2).lower()})", classes,
                F.multi_margin_loss(t(logits), t(label), p=power, margin=margin, reduction="none"))
lengths = noise(65, N, C) + 0.5
margin = (onehot * np.maximum(0.9 - lengths, 0) ** 2 + 0.5 * (1 - onehot) * np.maximum(lengths - 0.1, 0) ** 2).sum(1)
cases.value("margin of capsules", "Sabour and others (2017), equation 4", "margin_loss(x, k)",
            {**classes, "x": (f"f32[{C}]", lengths)}, margin)
p = 1 / (1 + np.exp(-guess))
cases.value("dice", f"{KERAS} Dice", "dice(x, y, smooth: 1e-7)", binary,
            [float(losses.Dice()(bits[i:i + 1], p[i:i + 1])) for i in range(N)])
cases.value("dice, smooth", "1 - (2 |AB| + 1) / (|A| + |B| + 1)", "dice(x, y)", binary,
            1 - (2 * (p * bits).sum(1) + 1) / (p.sum(1) + bits.sum(1) + 1))

third = 4 * noise(66, N, D)
three = {**numbers, "z": (f"f32[{D}]", third)}
cases.value("cosine", f"{TORCH} cosine_similarity", "cosine_similarity(x, y)", numbers,
            F.cosine_similarity(t(guess), t(target)))
cases.value("cosine loss", f"{TORCH} cosine_embedding_loss", "cosine_loss(x, y)", numbers,
            F.cosine_embedding_loss(t(guess), t(target), torch.ones(N), reduction="none"))
apart = np.sqrt(((guess - target) ** 2).sum(1))
same = np.array([1, 0, 1, 0, 0, 1.0])
cases.value("contrastive", "Hadsell and others (2006), equation 4", "contrastive(x, y, z[0], margin: 4)",
            {**numbers, "z": ("f32[1]", same[:, None])},
            0.5 * same * apart ** 2 + 0.5 * (1 - same) * np.maximum(4 - apart, 0) ** 2)
for swap in [False, True]:
    cases.value(f"triplet, swap {swap}", f"{TORCH} triplet_margin_loss",
                f"triplet(x, y, z, margin: 2, swap: {str(swap).lower()})", three,
                F.triplet_margin_loss(t(guess), t(target), t(third), margin=2.0, eps=0.0, swap=swap, reduction="none"))
far = ((guess - third) ** 2).sum(1)
cases.value("triplet of squares", "Schroff and others (2015), equation 3", "triplet(x, y, z, squared: true, margin: 5)", three,
            np.maximum(apart ** 2 - far + 5, 0))

from torch.distributions import Bernoulli, Normal, kl_divergence  # noqa: E402

spread = t(target).mul(0.5).exp()
cases.value("divergence of normals", f"{TORCH} distributions.kl_divergence", "kl_normal(x, y)", numbers,
            kl_divergence(Normal(t(guess), spread), Normal(0.0, 1.0)).sum(1))
cases.value("likelihood of coins", f"{TORCH} distributions.Bernoulli", "bernoulli_log_likelihood(x, y)", binary,
            Bernoulli(logits=t(guess)).log_prob(t(bits)).sum(1))
cases.value("likelihood of normals", f"{TORCH} distributions.Normal",
            "normal_log_likelihood(x, z, log_variance: y)", three, Normal(t(guess), spread).log_prob(t(third)).sum(1))
cases.value("likelihood of standard normals", f"{TORCH} distributions.Normal", "normal_log_likelihood(x, y)", numbers,
            Normal(t(guess), 1.0).log_prob(t(target)).sum(1))

spoken = 4 * noise(67, 4, 7, C)
text = np.array([[1, 2, 0], [3, 3, 0], [4, 0, 0], [2, 1, 2]])
counted = np.array([7, 7, 5, 6])
log_p = F.log_softmax(t(spoken), -1).transpose(0, 1)
frames = {"x": (f"f32[7, {C}]", spoken), "k": (f"index<{C}>[3]", text)}
amount = t((text != 0).sum(1))
cases.value("ctc", f"{TORCH} ctc_loss", "ctc(x, k)", frames,
            F.ctc_loss(log_p, t(text), torch.full((4,), 7), amount, reduction="none"))
cases.value("ctc of some steps", f"{TORCH} ctc_loss", "ctc(x, k, steps: n[0])",
            {**frames, "n": ("f32[1]", counted[:, None])},
            F.ctc_loss(log_p, t(text), t(counted), amount, reduction="none"))
shifted = np.where(text == 0, C - 1, text - 1)
cases.value("ctc with another blank", f"{TORCH} ctc_loss", f"ctc(x, k, blank: {C - 1})",
            {**frames, "k": (f"index<{C}>[3]", shifted)},
            F.ctc_loss(log_p, t(shifted), torch.full((4,), 7), amount, blank=C - 1, reduction="none"))
x = t(spoken).requires_grad_()
F.ctc_loss(F.log_softmax(x, -1).transpose(0, 1), t(text), torch.full((4,), 7), amount, reduction="sum").backward()
cases.value("gradient of ctc", f"{TORCH} ctc_loss", "grad(v => ctc(v, k), x)", frames, x.grad)
short = {"x": (f"f32[2, {C}]", spoken[:, :2]), "k": frames["k"]}
cases.value("ctc of labels that do not fit", f"{TORCH} ctc_loss, zero_infinity", "ctc(x, k, zero_infinity: true)", short,
            F.ctc_loss(log_p[:2], t(text), torch.full((4,), 2), amount, reduction="none", zero_infinity=True))
cases.write()
