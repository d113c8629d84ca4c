"""Engagement of held-out simulated people: our model, a GRU regressor and ridge regression.

    python benchmarks/engagement.py RUN [--rounds N] [--people validation|test]

RUN is the output folder of `enrapt train`. The GRU has the same inputs, hidden size and modality dropout, the
same sessions in the same order, and is trained on the squared error. Ridge regression has weights per
pattern; its inputs are the mean and standard deviation of each feature over a causal window of 2 s, and the
share of the window that is present.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from enrapt.models import Batch, Model
from enrapt.models.config import Config
from enrapt.models.data import PEOPLE, Conversations
from enrapt.models.evaluation import held_out, patterns, predict
from enrapt.models.metrics import concordance, coverage, rmse
from enrapt.models.missing import hidden
from enrapt.models.run_folder import load_run, run_seed
from enrapt.models.training import learning_rate

RIDGE_PEOPLE = 2**31 - 3_000  # people for its fit only


class GRURegressor(nn.Module):
    """Normalised inputs, zeros where missing, and the mask → a hidden layer → GRU → engagement."""

    def __init__(self, model: Model, hidden: int) -> None:
        super().__init__()
        self.encoder_input = model.encoder_input
        inputs = (*model.observed, *model.contexts)
        self.inputs = [m.name for m in inputs]
        self.phi = nn.Sequential(nn.Linear(sum(m.dim + 1 for m in inputs), hidden), nn.ReLU())
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: dict[str, Tensor], mask: dict[str, Tensor], state: Tensor | None):
        shape = next(iter(x.values())).shape[:2]
        missing = torch.zeros(shape, dtype=torch.bool)
        parts = []
        for name in self.inputs:
            seen = mask.get(name, missing)
            parts += [self.encoder_input(name, x[name], seen), seen.unsqueeze(-1).float()]
        h, state = self.gru(self.phi(torch.cat(parts, -1)), state)
        return torch.sigmoid(self.head(h)), state


def train_gru(model: Model, config: Config, seed: int, rounds: int) -> GRURegressor:
    torch.manual_seed(seed)
    training = config.training
    gru = GRURegressor(model, config.model.hidden)
    optimizer = torch.optim.Adam(gru.parameters(), betas=(0.9, 0.99))
    data, start = Conversations(config), time.perf_counter()
    for round_ in range(rounds):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(round_, training.learning_rate, training.warmup_rounds, rounds)
        (batch,) = data.training(seed, round_, training.streams)
        rng = np.random.default_rng((seed, round_, 1))
        fed = hidden(rng, batch, model.modalities, config.rate, training.dropout)
        state = None
        masks = Batch(batch.x, fed).segments(training.segment_ticks)
        for part, mask in zip(batch.segments(training.segment_ticks), masks, strict=True):
            estimate, state = gru(part.x, mask.available, state)
            state = state.detach()
            loss = (estimate - part.x["engagement"]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(gru.parameters(), training.clip)
            optimizer.step()
        if round_ % 10 == 9:
            print(f"  GRU round {round_ + 1}/{rounds}, {time.perf_counter() - start:.0f} s", flush=True)
    return gru.eval()


def windows(model: Model, batch: Batch, seen: dict[str, Tensor], rate: int) -> np.ndarray:
    """Causal 2 s windows, `[P, T, features]`."""
    width = 2 * rate
    columns = []
    for name, mask in seen.items():
        present = mask.unsqueeze(-1).double()
        x = model.normalised(name, batch.x[name], mask).double()

        def recent(v: Tensor) -> Tensor:
            total = nn.functional.pad(v.cumsum(1), (0, 0, width, 0))
            return total[:, width:] - total[:, :-width]

        count = recent(present).clamp(min=1)
        mean = recent(x * present) / count
        square = recent(x.square() * present) / count
        columns += [mean, (square - mean.square()).clamp(min=0).sqrt(), recent(present) / width]
    return torch.cat(columns, -1).numpy()


def ridge(train: np.ndarray, y: np.ndarray, test: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    center, spread = train.mean(0), train.std(0) + 1e-6
    a = (train - center) / spread
    gram = a.T @ a / len(a) + alpha * 1e-3 * np.eye(a.shape[1])
    weights = np.linalg.solve(gram, a.T @ (y - y.mean()) / len(a))
    return np.clip((test - center) / spread @ weights + y.mean(), 0, 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, help="rounds of the GRU (default: those of the run)")
    parser.add_argument("--people", choices=["validation", "test"], default="test")
    args = parser.parse_args()
    config, model = load_run(args.run)
    seed = run_seed(args.run)
    gru = train_gru(model, config, seed, args.rounds or config.training.rounds)
    data = Conversations(config)
    fitting = data.people(seed, RIDGE_PEOPLE, PEOPLE)
    rng = np.random.default_rng((seed, RIDGE_PEOPLE, 1))
    fitting_seen = patterns(config.model.modalities, config.rate, fitting, rng)
    fitting_truth = fitting.x["engagement"].numpy().ravel()

    truths: list[np.ndarray] = []
    found: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for batch, seen in held_out(config, data, seed, args.people):
        truth = batch.x["engagement"].squeeze(-1).numpy()
        truths.append(truth)
        for pattern, masks in seen.items():
            ours = predict(model, batch, masks).targets["engagement"]
            with torch.no_grad():
                theirs = gru(batch.x, masks, None)[0].squeeze(-1).numpy()
            a = windows(model, fitting, fitting_seen[pattern], config.rate)
            b = windows(model, batch, masks, config.rate)
            linear = ridge(a.reshape(-1, a.shape[-1]), fitting_truth, b.reshape(-1, b.shape[-1]))
            found.setdefault(pattern, []).append(
                (ours.mean[..., 0], theirs, linear.reshape(truth.shape), ours.low[..., 0], ours.high[..., 0])
            )
    truth = np.concatenate(truths)
    print(f"{len(truth)} people, {truth.size} ticks")
    print(f"{'':12s} {'CCC':>8s} {'':>17s} {'RMSE':>10s}")
    print(f"{'pattern':12s} {'ours':>8s} {'GRU':>8s} {'ridge':>8s} {'ours':>10s} {'GRU':>8s} {'ridge':>8s} "
          f"{'90 % coverage':>20s}")  # fmt: skip
    for pattern, groups in found.items():
        *estimates, low, high = (np.concatenate(part) for part in zip(*groups, strict=True))
        print(
            f"{pattern:12s} "
            + " ".join(f"{concordance(truth, e):8.3f}" for e in estimates)
            + "   "
            + " ".join(f"{rmse(truth, e):8.3f}" for e in estimates)
            + f" {100 * coverage(truth, low, high):18.1f} %"
        )


if __name__ == "__main__":
    main()
