"""Makes `optimizers.txt`: what the optimizers of Keras and PyTorch do in float64, eight steps on a small problem.

For each case a line: the spec's optimizer, then for the vector, the matrix and the kernel the sum of its elements times
sin(1 + i), after the first and after the eighth step. Cases that neither library has follow the paper's formula, in
NumPy. Run by hand: `KERAS_BACKEND=torch python optimizers.py > optimizers.txt`.
"""
import numpy as np
import keras
import torch

keras.backend.set_floatx("float64")
SHAPES = [(3,), (4, 2), (2, 1, 2, 3)]
START = [np.cos(np.arange(3.0) + 1), np.cos(2 * np.arange(8.0)), np.sin(3 * np.arange(12.0) + 1)]
START = [v.reshape(s) for v, s in zip(START, SHAPES)]


def gradients(ps):
    """Of the sum of `(1 + i / 4) * (p - sin(5 * i))^2 / 2` over the elements of each parameter."""
    out = []
    for p in ps:
        i = np.arange(float(p.size)).reshape(p.shape)
        out.append((1 + i / 4) * (p - np.sin(5 * i)))
    return out


def shown(ps):
    return [float(np.sum(np.sin(1 + np.arange(float(p.size))) * p.reshape(-1))) for p in ps]


def line(name, run):
    ps, first = [p.copy() for p in START], None
    for step in range(1, 9):
        ps = run(step, ps, gradients(ps))
        first = first or shown(ps)
    print(name, *(f"{v:.10f}" for v in first + shown(ps)), sep=" | ")


def of_keras(name, optimizer):
    variables = [keras.Variable(p) for p in START]
    optimizer.build(variables)

    def run(step, ps, gs):
        optimizer.apply([torch.tensor(g) for g in gs], variables)
        return [v.numpy().copy() for v in variables]

    line(name, run)


def of_torch(name, make):
    tensors = [torch.tensor(p, requires_grad=True) for p in START]
    optimizer = make(tensors)

    def run(step, ps, gs):
        for t, g in zip(tensors, gs):
            t.grad = torch.tensor(g)
        optimizer.step()
        return [t.detach().numpy().copy() for t in tensors]

    line(name, run)


def of_formula(name, update):
    states = [{} for _ in START]
    line(name, lambda step, ps, gs: [update(s, step, p, g) for s, p, g in zip(states, ps, gs)])


def damped(s, step, p, g):
    s["v"] = 0.9 * s.get("v", 0) - (1 - 0.3) * 0.1 * g
    return p + s["v"]


def adafactor_free(s, step, p, g):
    """Shazeer and Stern, algorithms 4 and 5, with a rate of its own."""
    keep, square = 1 - step**-0.8, g * g + 1e-30
    if g.ndim < 2:
        s["v"] = v = keep * s.get("v", 0) + (1 - keep) * square
    else:
        s["r"] = keep * s.get("r", 0) + (1 - keep) * square.mean(-1)
        s["c"] = keep * s.get("c", 0) + (1 - keep) * square.mean(-2)
        v = s["r"][..., None] * s["c"][..., None, :] / s["r"].mean(-1)[..., None, None]
    u = g / np.sqrt(v)
    u = u / max(1, np.sqrt((u * u).mean()) / 1.0)
    return p - 0.8 * max(1e-3, np.sqrt((p * p).mean())) * u


def lamb(s, step, p, g):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    u = s["m"] / (1 - 0.9**step) / (np.sqrt(s["v"] / (1 - 0.999**step)) + 1e-7) + 0.2 * p
    return p - 0.1 * np.linalg.norm(p.reshape(-1)) / np.linalg.norm(u.reshape(-1)) * u


def lars(lr, decay=0, momentum=0.9, coefficient=1e-3):
    def update(s, step, p, g):
        norm = lambda x: np.linalg.norm(x.reshape(-1))
        rate = lr * coefficient * norm(p) / (norm(g) + decay * norm(p))
        s["v"] = momentum * s.get("v", 0) + rate * (g + decay * p)
        return p - s["v"]

    return update


def newton_schulz(x, steps):
    turned = x.shape[0] > x.shape[1]
    x = x.T if turned else x
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if turned else x


def muon(s, step, p, g, lr=0.1, momentum=0.95, nesterov=True, steps=5, rate=0.2, decay=0.004, adam=(1, 0.9, 0.999, 0.004, 1e-7)):
    if p.ndim < 2:
        ratio, b1, b2, wd, eps = adam
        s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
        alpha = ratio * lr * np.sqrt(1 - b2**step) / (1 - b1**step)
        return p - ratio * lr * wd * p - alpha * s["m"] / (np.sqrt(s["v"]) + eps)
    s["m"] = momentum * s.get("m", 0) + g
    d = (g + momentum * s["m"] if nesterov else s["m"]).reshape(-1, p.shape[-1])
    u = newton_schulz(d, steps) * np.sqrt(max(d.shape)) * rate
    return p - lr * decay * p - lr * u.reshape(p.shape)


K, T = keras.optimizers, torch.optim
of_keras("sgd(lr: 0.1)", K.SGD(0.1))
of_keras("sgd", K.SGD())
of_keras("sgd(lr: 0.1, weight_decay: 0.5)", K.SGD(0.1, weight_decay=0.5))
of_keras("sgd(lr: 0.1, momentum: 0.9)", K.SGD(0.1, momentum=0.9))
of_keras("sgd(lr: 0.1, momentum: 0.9, nesterov: true)", K.SGD(0.1, momentum=0.9, nesterov=True))
of_formula("sgd(lr: 0.1, momentum: 0.9, dampening: 0.3)", damped)
of_keras("rmsprop", K.RMSprop())
of_keras("rmsprop(lr: 0.1, rho: 0.7)", K.RMSprop(0.1, rho=0.7))
of_keras("rmsprop(lr: 0.1, momentum: 0.5)", K.RMSprop(0.1, momentum=0.5))
of_keras("rmsprop(lr: 0.1, centered: true, epsilon: 0.01)", K.RMSprop(0.1, centered=True, epsilon=0.01))
of_keras("rmsprop(lr: 0.1, weight_decay: 0.5)", K.RMSprop(0.1, weight_decay=0.5))
of_keras("adagrad", K.Adagrad())
of_keras("adagrad(lr: 0.1, initial_accumulator_value: 0.5)", K.Adagrad(0.1, initial_accumulator_value=0.5))
of_keras("adagrad(lr: 0.1, epsilon: 0.3)", K.Adagrad(0.1, epsilon=0.3))
of_keras("adagrad(lr: 0.1, weight_decay: 0.5)", K.Adagrad(0.1, weight_decay=0.5))
of_keras("adadelta", K.Adadelta())
of_keras("adadelta(lr: 1, rho: 0.8)", K.Adadelta(1.0, rho=0.8))
of_keras("adadelta(lr: 1, epsilon: 0.01, weight_decay: 0.1)", K.Adadelta(1.0, epsilon=0.01, weight_decay=0.1))
of_keras("adam", K.Adam())
of_keras("adam(lr: 0.1, beta_1: 0.8, beta_2: 0.9)", K.Adam(0.1, 0.8, 0.9))
of_keras("adam(lr: 0.1, epsilon: 0.1)", K.Adam(0.1, epsilon=0.1))
of_keras("adam(lr: 0.4, beta_2: 0.5, amsgrad: true)", K.Adam(0.4, beta_2=0.5, amsgrad=True))
of_keras("adam(lr: 0.1, weight_decay: 0.5)", K.Adam(0.1, weight_decay=0.5))
of_keras("adamw", K.AdamW())
of_keras("adamw(lr: 0.1, weight_decay: 0.5, beta_1: 0.8, beta_2: 0.9, epsilon: 0.01)", K.AdamW(0.1, 0.5, 0.8, 0.9, 0.01))
of_keras("adamw(lr: 0.4, beta_2: 0.5, amsgrad: true)", K.AdamW(0.4, beta_2=0.5, amsgrad=True))
of_keras("adamax", K.Adamax())
of_keras("adamax(lr: 0.1, beta_1: 0.8, beta_2: 0.5)", K.Adamax(0.1, 0.8, 0.5))
of_keras("adamax(lr: 0.1, epsilon: 0.1, weight_decay: 0.5)", K.Adamax(0.1, epsilon=0.1, weight_decay=0.5))
of_keras("nadam", K.Nadam())
of_keras("nadam(lr: 0.1, beta_1: 0.8, beta_2: 0.9)", K.Nadam(0.1, 0.8, 0.9))
of_keras("nadam(lr: 0.1, epsilon: 0.1, weight_decay: 0.5)", K.Nadam(0.1, epsilon=0.1, weight_decay=0.5))
of_torch("nadam(lr: 0.1, epsilon: 1e-8, momentum_decay: 0.004)", lambda ps: T.NAdam(ps, lr=0.1))
of_torch("radam", lambda ps: T.RAdam(ps))
of_torch("radam(lr: 0.1, beta_1: 0.8, beta_2: 0.8)", lambda ps: T.RAdam(ps, lr=0.1, betas=(0.8, 0.8)))
of_torch(
    "radam(lr: 0.1, beta_2: 0.75, epsilon: 0.1, weight_decay: 0.5)",
    lambda ps: T.RAdam(ps, lr=0.1, betas=(0.9, 0.75), eps=0.1, weight_decay=0.5, decoupled_weight_decay=True),
)
of_keras("lion", K.Lion())
of_keras("lion(lr: 0.1, beta_1: 0.2, beta_2: 0.4, weight_decay: 0.5)", K.Lion(0.1, 0.2, 0.4, weight_decay=0.5))
of_keras("adafactor", K.Adafactor())
of_keras("adafactor(lr: 0.8)", K.Adafactor(0.8))
of_keras("adafactor(lr: 0.1, beta_2_decay: -0.5, epsilon_1: 0.1)", K.Adafactor(0.1, -0.5, 0.1))
of_keras("adafactor(lr: 0.1, epsilon_2: 2, clip_threshold: 0.3)", K.Adafactor(0.1, epsilon_2=2.0, clip_threshold=0.3))
of_keras("adafactor(lr: 0.1, weight_decay: 0.5)", K.Adafactor(0.1, weight_decay=0.5))
of_formula("adafactor(lr: 0.8, relative_step: false)", adafactor_free)
of_keras("lamb", K.Lamb())
of_keras("lamb(lr: 0.1, beta_1: 0.8, beta_2: 0.9, epsilon: 0.01)", K.Lamb(0.1, 0.8, 0.9, 0.01))
of_formula("lamb(lr: 0.1, weight_decay: 0.2)", lamb)
of_formula("lars", lars(0.1))
of_formula("lars(lr: 0.5)", lars(0.5))
of_formula("lars(lr: 0.5, momentum: 0.5, weight_decay: 0.3, trust_coefficient: 0.1)", lars(0.5, 0.3, 0.5, 0.1))
of_formula("muon", lambda *a: muon(*a, lr=1e-3))
of_formula("muon(lr: 0.1)", muon)
of_formula("muon(lr: 0.1, momentum: 0.5, nesterov: false)", lambda *a: muon(*a, momentum=0.5, nesterov=False))
of_formula("muon(lr: 0.1, ns_steps: 2, rms_rate: 0.5)", lambda *a: muon(*a, steps=2, rate=0.5))
of_formula(
    "muon(lr: 0.1, weight_decay: 0.5, adam_lr_ratio: 0.5, adam_beta_1: 0.8, adam_beta_2: 0.9, adam_weight_decay: 0.3, epsilon: 0.01)",
    lambda *a: muon(*a, decay=0.5, adam=(0.5, 0.8, 0.9, 0.3, 0.01)),
)
# Our own formula for the matrix against Keras' Muon, which has none for kernels.
check = keras.Variable(START[1])
theirs = K.Muon(0.1)
theirs.build([check])
state, ours = {}, START[1].copy()
for step in range(1, 9):
    g = (1 + np.arange(8.0).reshape(4, 2) / 4) * (ours - np.sin(5 * np.arange(8.0).reshape(4, 2)))
    theirs.apply([torch.tensor(g)], [check])
    ours = muon(state, step, ours, g)
    # Keras computes its factor sqrt(4) * 0.2 in float32.
    assert np.abs(check.numpy() - ours).max() < 1e-6, step
