"""Metrics over a whole split, as scikit-learn and sacrebleu define them."""

import json
import pathlib
import sys

import numpy as np
import sacrebleu
import sklearn
import sklearn.metrics as sk
from golden import noise

SK = f"scikit-learn {sklearn.__version__}"
sets = []


def data(fields, measures):
    """`fields`: name -> (type, bound or None, values, one row each); `measures`: (expression, origin, value)."""
    listed = [[name, ty, bound, np.asarray(v, dtype=np.float64).reshape(len(v), -1).tolist()]
              for name, (ty, bound, v) in fields.items()]
    shown = [[e, o, np.asarray(v, dtype=np.float64).tolist()] for e, o, v in measures]
    sets.append({"fields": listed, "measures": shown})


def classes(logits, label, c):
    guess = logits.argmax(1)
    out = [
        ("accuracy(t.x, t.k)", f"{SK} accuracy_score", sk.accuracy_score(label, guess)),
        ("balanced_accuracy(t.x, t.k)", f"{SK} balanced_accuracy_score", sk.balanced_accuracy_score(label, guess)),
        ("mcc(t.x, t.k)", f"{SK} matthews_corrcoef", sk.matthews_corrcoef(label, guess)),
        ("cohen_kappa(t.x, t.k)", f"{SK} cohen_kappa_score", sk.cohen_kappa_score(label, guess)),
    ]
    for k in [1, 2]:
        out.append((f"top_k(t.x, t.k, k: {k})", f"{SK} top_k_accuracy_score",
                    sk.top_k_accuracy_score(label, logits, k=k, labels=range(c))))
    for word, name in [(None, None), ("label", "true"), ("guess", "pred"), ("all", "all")]:
        option = f", normalize: {word}" if word else ""
        out.append((f"confusion_matrix(t.x, t.k{option})", f"{SK} confusion_matrix",
                    sk.confusion_matrix(label, guess, labels=range(c), normalize=name)))
    scores = [("precision", sk.precision_score, {}), ("recall", sk.recall_score, {}), ("f1", sk.f1_score, {}),
              ("f1", sk.fbeta_score, {"beta": 2.0})]
    for name, score, more in scores:
        extra = "".join(f", {k}: {v}" for k, v in more.items())
        for average in ["macro", "micro", "weighted"]:
            out.append((f"{name}(t.x, t.k, average: {average}{extra})", f"{SK} {score.__name__}",
                        score(label, guess, average=average, zero_division=0, **more)))
        each = score(label, guess, average=None, labels=range(c), zero_division=0, **more)
        out.append((f"{name}(t.x, t.k, average: none{extra})", f"{SK} {score.__name__}", each))
        out.append((f"{name}(t.x, t.k{extra})", f"{SK} {score.__name__} of class 1", each[1]))
        out.append((f"{name}(t.x, t.k, class: 2{extra})", f"{SK} {score.__name__} of class 2", each[2]))
    return out


def coarse(a):
    return np.round(a * 64) / 64


n, c = 700, 4
# Without ties within a row, which every program breaks in its own way.
logits = coarse(6 * noise(70, n, c)) + np.arange(c) / 1024
label = np.where(noise(71, n) > -0.1, logits.argmax(1), ((noise(72, n) + 0.5) * c).astype(int))
data({"x": (f"f32[{c}]", None, logits), "k": ("f32", c, label)}, classes(logits, label, c))
# The last class occurs nowhere, the one before it is never guessed.
logits = logits[:300] - np.array([0, 0, 50, 99])
label = np.minimum(label[:300], 2)
data({"x": (f"f32[{c}]", None, logits), "k": ("f32", c, label)}, classes(logits, label, c))

truth = coarse(8 * noise(73, n) + 3)
guess = coarse(truth + 2 * noise(74, n) + 0.25)
data({"g": ("f32", None, guess), "y": ("f32", None, truth)}, [
    ("r2(t.g, t.y)", f"{SK} r2_score", sk.r2_score(truth, guess)),
    ("r2(t.g + 3000, t.y + 3000)", f"{SK} r2_score", sk.r2_score(truth + 3000, guess + 3000)),
    ("explained_variance(t.g, t.y)", f"{SK} explained_variance_score", sk.explained_variance_score(truth, guess)),
    ("rmse(t.g, t.y)", f"{SK} root_mean_squared_error", sk.root_mean_squared_error(truth, guess)),
    ("mae(t.g, t.y)", f"{SK} mean_absolute_error", sk.mean_absolute_error(truth, guess)),
])

# Scores with many ties, and hardly any.
for grain in [4, 4096]:
    score = np.round(grain * noise(79, n)) / grain
    truth = (score + 0.7 * noise(80, n) > 0.1).astype(int)
    data({"s": ("f32", None, score), "k": ("f32", 2, truth)}, [
        ("auroc(t.s, t.k)", f"{SK} roc_auc_score", sk.roc_auc_score(truth, score)),
        ("average_precision(t.s, t.k)", f"{SK} average_precision_score", sk.average_precision_score(truth, score)),
    ])

# Sequences of up to 9 tokens of 6, filled up with 0.
m, length = 400, 9
lengths = 4 + ((noise(75, m) + 0.5) * 6).astype(int)
target = 1 + ((noise(76, m, length) + 0.5) * 5).astype(int)
target[np.arange(length)[None, :] >= lengths[:, None]] = 0
wrong = noise(77, m, length) > 0.3
guess = np.where(wrong & (target > 0), 1 + ((noise(78, m, length) + 0.5) * 5).astype(int), target)
guess[:, -1] = 0
guess[0] = target[0] = 0


def words(rows):
    return [[str(token) for token in row if token != 0] for row in rows]


bleu_origin = f"sacrebleu {sacrebleu.__version__}, without smoothing"


def bleu(rows, references, n):
    score = sacrebleu.BLEU(max_ngram_order=n, smooth_method="none", tokenize="none")
    texts = [[" ".join(row) for row in part] for part in (rows, references)]
    return score.corpus_score(texts[0], [texts[1]]).score / 100


tokens = {"a": (f"f32[{length}]", 6, guess), "b": (f"f32[{length}]", 6, target)}
measures = [(f"bleu(t.a, t.b, n: {k}, ignore: pad)", bleu_origin, bleu(words(guess), words(target), k)) for k in [1, 2, 4]]
full = [[[str(t) for t in row] for row in part] for part in (guess, target)]
measures.append(("bleu(t.a, t.b)", bleu_origin, bleu(*full, 4)))
measures.append(("exact_match(t.a, t.b)", "the mean of equal rows", (guess == target).all(1).mean()))
measures.append(("exact_match(t.a, t.b, ignore: pad)", "the mean of rows equal where the target is not 0",
                 ((guess == target) | (target == 0)).all(1).mean()))
measures.append(("exact_match(t.a, t.b, ignore: 3)", "the mean of rows equal where the target is not 3",
                 ((guess == target) | (target == 3)).all(1).mean()))


def edits(a, b):
    """Levenshtein (1966), by the recursion."""
    row = list(range(len(b) + 1))
    for x in a:
        last, row = row, [row[0] + 1]
        for j, y in enumerate(b):
            row.append(min(last[j + 1] + 1, row[j] + 1, last[j] + (x != y)))
    return row[-1]


pairs = list(zip(words(guess), words(target)))
distance = sum(edits(a, b) for a, b in pairs)
levenshtein = "Levenshtein (1966), the recursion"
measures += [("edit_distance(t.a, t.b, ignore: pad)", levenshtein, distance / m),
             ("error_rate(t.a, t.b, ignore: pad)", levenshtein, distance / sum(len(b) for _, b in pairs))]
distance = sum(edits(list(a), list(b)) for a, b in zip(guess, target))
measures += [("edit_distance(t.a, t.b)", levenshtein, distance / m),
             ("error_rate(t.a, t.b)", levenshtein, distance / (m * length))]
data(tokens, measures)

path = pathlib.Path(__file__).parent.parent / "metrics.json"
path.write_text("[\n" + ",\n".join("  " + json.dumps(s) for s in sets) + "\n]\n")
print(f"{path.name}: {sum(len(s['measures']) for s in sets)} measurements", file=sys.stderr)
