"""What the scripts of this folder share: numbers that both sides make, and the file of cases.

The scripts compute what the library should give, with PyTorch, Keras or scikit-learn, and write it to
`tests/golden/*.json`. They are no part of the build or of the tests: they say where the numbers come from.
`python tests/golden/origin/attention.py` writes `tests/golden/attention.json` anew.
"""

import json
import pathlib

import numpy as np


def noise(seed, *shape):
    """Numbers between -0.5 and 0.5, exact in f32; `tests/golden/mod.rs` makes the same."""
    n = int(np.prod(shape)) if shape else 1
    v = (np.arange(n, dtype=np.uint64) * 2891336453 + seed * 747796405 + 12345) & 0xFFFFFFFF
    v ^= v >> 16
    v = (v * 0x45D9F3B) & 0xFFFFFFFF
    v ^= v >> 16
    v = (v * 0x45D9F3B) & 0xFFFFFFFF
    v ^= v >> 16
    return ((v >> 20).astype(np.float64) / 4096 - 0.5).reshape(shape)


class Cases:
    def __init__(self, file):
        self.path = pathlib.Path(__file__).parent.parent / f"{file}.json"
        self.cases = []

    def value(self, name, origin, body, inputs, expected, variables=None, definitions=""):
        """`inputs`: name -> (type, array with the examples in front); `variables`: path below the model -> seed.

        A seed of 1000 or more stands for `1 + noise(seed - 1000)`: variances are not negative.
        """
        listed = [[k, t, np.asarray(a, dtype=np.float64).reshape(len(a), -1).tolist()] for k, (t, a) in inputs.items()]
        expected = np.asarray(expected, dtype=np.float64)
        assert np.isfinite(expected).all(), name
        self.cases.append({
            "name": name, "origin": origin, "definitions": definitions, "body": body, "inputs": listed,
            "variables": variables or {}, "expected": [float(f"{v:.10g}") for v in expected.reshape(-1)],
        })

    def write(self):
        lines = ",\n".join("  " + json.dumps(case) for case in self.cases)
        self.path.write_text(f"[\n{lines}\n]\n")
        print(f"{self.path.name}: {len(self.cases)} cases")
