"""The peers of models/char_lstm.nn, char_gru.nn and char_gpt.nn: nats a character on the last tenth of the text."""

import gzip
import math
import pathlib
import sys

import torch
from torch import nn

CONTEXT = 64
text = gzip.open(pathlib.Path(__file__).parents[4] / "models/data/poetry_and_gospels.txt.gz", "rt").read()
letters = sorted(set(text))
tokens = torch.tensor([letters.index(c) for c in text])
cut = round(0.9 * len(tokens))
train, valid = tokens[:cut], tokens[cut:]


class Recurrent(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(len(letters), 32), cell(32, 128, batch_first=True)
        self.out = nn.Linear(128, len(letters))

    def forward(self, x):
        return self.out(self.cell(self.embedding(x))[0])


class Gpt(nn.Module):
    def __init__(self, dim=128, heads=4, depth=4):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(len(letters), dim), nn.Embedding(CONTEXT, dim)
        block = lambda: nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, len(letters), bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, x):
        x = self.embedding(x) + self.positions.weight
        mask = nn.Transformer.generate_square_subsequent_mask(CONTEXT)
        for block in self.blocks:
            x = block(x, src_mask=mask, is_causal=True)
        return self.out(self.norm(x))


def run(name, model, batch, steps, optimizer, rate=None, clip=None):
    for step in range(steps):
        starts = torch.randint(0, len(train) - CONTEXT, (batch,))
        rows = torch.stack([train[i : i + CONTEXT + 1] for i in starts])
        if rate is not None:
            optimizer.param_groups[0]["lr"] = rate(step)
        loss = nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    count = (len(valid) - 1) // CONTEXT
    rows, following = (valid[i : i + count * CONTEXT].view(count, CONTEXT) for i in (0, 1))
    with torch.no_grad():
        parts = [model.eval()(rows[i : i + 64]).flatten(0, 1) for i in range(0, count, 64)]
        print(f"{name} nats {nn.functional.cross_entropy(torch.cat(parts), following.flatten()).item():.4f}", flush=True)


def cosine(step, peak=1e-3, final=1e-4, warmup=100, steps=2000):
    if step < warmup:
        return peak * (step + 1) / warmup
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - 1 - warmup)))


torch.set_num_threads(2)
for name in sys.argv[1:] or ["char_lstm", "char_gru", "char_gpt"]:
    torch.manual_seed(0)
    if name == "char_gpt":
        gpt = Gpt()
        run(name, gpt, 12, 2000, torch.optim.AdamW(gpt.parameters(), lr=1e-3, weight_decay=0.1), cosine, 1.0)
    else:
        recurrent = Recurrent({"char_lstm": nn.LSTM, "char_gru": nn.GRU}[name])
        run(name, recurrent, 32, 500, torch.optim.Adam(recurrent.parameters(), lr=2e-3))
