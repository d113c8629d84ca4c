"""Engagement of held-out simulated people: our model, a GRU regressor and ridge regression.

    python benchmarks/engagement.py RUN [--rounds N] [--whiten] [--people validation|test]

RUN is the output folder of `enrapt train`, of a recent_vrnn such as `default`. GRU and ridge see what its
encoders see: the features, and their means and spreads over the recent past; with --whiten, the GRU sees them
whitened, as the encoders of `default` do. It has the same hidden size and modality dropout, the same sessions
in the same order, and is trained on the squared error. Ridge regression is fitted to each pattern, on a tick
a second of 1,280 other people; its penalty is chosen on 256 more.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from enrapt.models import Batch, RecentVRNN
from enrapt.models.baselines import PENALTIES, Sums
from enrapt.models.config import Config
from enrapt.models.data import PEOPLE, Conversations
from enrapt.models.evaluation import held_out, patterns, predict
from enrapt.models.metrics import concordance, coverage, rmse
from enrapt.models.missing import hidden
from enrapt.models.recurrence import loop
from enrapt.models.run_folder import load_run, run_seed
from enrapt.models.training import learning_rate
from enrapt.models.whitening import WhitenedLinear

TARGET = "engagement"
OTHERS = 2**31 - 3_000  # number of the first group of people for ridge
FITTED, CHOSEN = 10, 2  # groups that fit its weights, and that choose its penalty
AT_ONCE = 32  # people in memory at a time


def seen(model: RecentVRNN, batch: Batch, masks: dict[str, Tensor], recent: Tensor) -> tuple[Tensor, Tensor]:
    """What the encoders see, and where each modality is present, `[P, T, F]`; the state of the means."""
    names = [m.name for m in model.observed]
    missing = torch.zeros(next(iter(masks.values())).shape, dtype=torch.bool)
    mask = {name: masks.get(name, missing) for name in names}
    values, recent = model.seen({name: batch.x[name] for name in names}, mask, recent, loop)
    return torch.cat([v for n in names for v in (values[n], mask[n].unsqueeze(-1).float())], -1), recent


class GRURegressor(nn.Module):
    """A hidden layer → GRU → engagement."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.first = WhitenedLinear(inputs, hidden)
        self.phi = nn.Sequential(self.first, nn.ReLU())
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        h, state = self.gru(self.phi(x), state)
        return torch.sigmoid(self.head(h)), state


def train_gru(model: RecentVRNN, config: Config, seed: int, rounds: int, whiten: bool) -> GRURegressor:
    torch.manual_seed(seed)
    training = config.training
    gru = GRURegressor(sum(model.seen_size(m) + 1 for m in model.observed), config.model.hidden)
    optimizer = torch.optim.Adam(gru.parameters(), betas=(0.9, 0.99))
    data, start = Conversations(config), time.perf_counter()
    if whiten:
        batch = data.moments(seed)
        x, _ = seen(model, batch, batch.available, model.initial_state(batch.size)[1])
        gru.first.fit(x.flatten(0, 1))
    for round_ in range(rounds):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(round_, training.learning_rate, training.warmup_rounds, rounds)
        (batch,) = data.training(seed, round_, training.streams)
        rng = np.random.default_rng((seed, round_, 1))
        fed = hidden(rng, batch, model.modalities, config.rate, training.dropout)
        state, recent = None, model.initial_state(batch.size)[1]
        masks = Batch(batch.x, fed).segments(training.segment_ticks)
        for part, mask in zip(batch.segments(training.segment_ticks), masks, strict=True):
            with torch.no_grad():
                x, recent = seen(model, part, mask.available, recent)
            estimate, state = gru(x, state)
            state = state.detach()
            loss = (estimate - part.x[TARGET]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(gru.parameters(), training.clip)
            optimizer.step()
        if round_ % 10 == 9:
            print(f"  GRU round {round_ + 1}/{rounds}, {time.perf_counter() - start:.0f} s", flush=True)
    return gru.eval()


def few(batch: Batch, seen: dict[str, dict[str, Tensor]]) -> Iterator[tuple[slice, Batch, dict]]:
    """Some people at a time."""
    for first in range(0, batch.size, AT_ONCE):
        some = slice(first, first + AT_ONCE)
        yield some, batch.map(lambda v, some=some: v[some]), {
            pattern: {name: mask[some] for name, mask in masks.items()} for pattern, masks in seen.items()
        }  # fmt: skip


@torch.no_grad()
def ridge(model: RecentVRNN, config: Config, seed: int) -> dict[str, np.ndarray]:
    """Weights by pattern."""
    data, parts = Conversations(config), []
    for groups in (range(FITTED), range(FITTED, FITTED + CHOSEN)):
        sums: dict[str, Sums] = {}
        for number in groups:
            people = data.people(seed, OTHERS + number, PEOPLE)
            rng = np.random.default_rng((seed, OTHERS + number, 1))
            for _, batch, masks in few(people, patterns(config.model.modalities, config.rate, people, rng)):
                y = batch.x[TARGET][:, :: config.rate].reshape(-1).double().numpy()
                for pattern, mask in masks.items():
                    x = seen(model, batch, mask, model.initial_state(batch.size)[1])[0][:, :: config.rate]
                    x = x.reshape(-1, x.shape[-1]).double().numpy()
                    sums.setdefault(pattern, Sums(x.shape[-1])).add(x, y)
        parts.append(sums)
    fitted, chosen = parts
    return {
        pattern: min((sums.ridge(float(p)) for p in PENALTIES), key=chosen[pattern].error)
        for pattern, sums in fitted.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, help="rounds of the GRU (default: those of the run)")
    parser.add_argument("--whiten", action="store_true", help="the GRU's inputs")
    parser.add_argument("--people", choices=["validation", "test"], default="test")
    args = parser.parse_args()
    config, model = load_run(args.run)
    if not isinstance(model, RecentVRNN):
        raise SystemExit(f"{args.run}: not a recent_vrnn")
    seed = run_seed(args.run)
    weights = ridge(model, config, seed)
    gru = train_gru(model, config, seed, args.rounds or config.training.rounds, args.whiten)
    truths: list[np.ndarray] = []
    found: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for people, masks_of in held_out(config, Conversations(config), seed, args.people):
        truths.append(people.x[TARGET].squeeze(-1).numpy())
        for _, batch, masks in few(people, masks_of):
            for pattern, mask in masks.items():
                with torch.no_grad():
                    ours = predict(model, batch, mask).targets[TARGET]
                    x, _ = seen(model, batch, mask, model.initial_state(batch.size)[1])
                    theirs = gru(x, None)[0].squeeze(-1).numpy()
                linear = np.clip(x.double().numpy() @ weights[pattern][1:] + weights[pattern][0], 0, 1)
                estimates = (ours.mean[..., 0], theirs, linear, ours.low[..., 0], ours.high[..., 0])
                found.setdefault(pattern, []).append(estimates)
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
