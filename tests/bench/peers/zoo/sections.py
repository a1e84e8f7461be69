"""A linear bag of words for the sections of models/data/verses.csv.gz: counts of words, logistic regression.

The rows are dealt out as nnc does with seed 0: once as `train: 90%, test: 10%`, as in models/bag_of_embeddings.nn and
text_cnn.nn, once as `unlabelled: 80%, labelled: 10%, test: 10%`, as in bert.nn. The rows for the test are the same."""

import csv
import gzip
import pathlib

import numpy
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

DATA = pathlib.Path(__file__).parents[4] / "models" / "data" / "verses.csv.gz"
WORD = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32-10 (Salmon and others, 2011)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & WORD, (p0 >> 32) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def shuffled(rows, seed=0):
    """The order of the rows in which splits are dealt out (src/readers/splits.rs)."""
    key = philox((WORD - 1, WORD, 0, 0), (seed, 0))[:2]
    order = list(range(rows))
    for i in range(rows - 1, 0, -1):
        words = philox((i // 2, 0, 0, 0), key)
        draw = words[2 * (i % 2)] << 32 | words[2 * (i % 2) + 1]
        other = draw * (i + 1) >> 64
        order[i], order[other] = order[other], order[i]
    return order


def bags(name, train, test):
    """Prints the accuracies on the rows `test` after training on the rows `train`."""
    for lowercase in (True, False):
        counts = CountVectorizer(token_pattern=r"\w+|[^\w\s]", lowercase=lowercase)
        x, x_test = counts.fit_transform([text[i] for i in train]), counts.transform([text[i] for i in test])
        for strength in (0.1, 0.3, 1.0):
            linear = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(x, section[train])
            right = linear.score(x_test, section[test])
            print(f"sections, {name}, lowercase {lowercase}, C {strength}: accuracy {right:.4f}", flush=True)


rows = list(csv.DictReader(gzip.open(DATA, "rt", encoding="utf-8")))
text = [row["text"] for row in rows]
section = numpy.array([row["section"] for row in rows])
order = shuffled(len(rows))
eighty, ninety = round(0.8 * len(rows)), round(0.9 * len(rows))
bags("all labels", order[:ninety], order[ninety:])
bags("a tenth of the labels", order[eighty:ninety], order[ninety:])
