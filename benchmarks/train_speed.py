"""Training speed of MM-VRNN against a plain loop over ticks with the same layers.

    python benchmarks/train_speed.py [--rounds N]

Both use the same weights and batch (audio 40, face 52, 32 sequences of 100 ticks; forward and backward, no
optimiser), interleaved, on one thread and on two. Their losses are compared first, to time the same
arithmetic.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor

from enrapt.models import MMVRNN, Modality
from enrapt.models.experts import kl_divergence, precision, product

BATCH, TICKS = 32, 100
Sequences = dict[str, Tensor]


def by_tick(model: MMVRNN, x: Sequences, mask: Sequences, noise: Tensor) -> Tensor:
    """The negative ELBO, computed tick by tick."""
    (h,) = model.initial_state(BATCH)
    kl, costs = [], {m.name: [] for m in model.modalities}
    for t in range(TICKS):
        prior, from_h, gates_h = model.from_h(h).split(model.widths, -1)
        prior_mean, raw = prior.chunk(2, -1)
        prior_precision = precision(raw)
        now, seen = {m: v[:, t] for m, v in x.items()}, {m: v[:, t] for m, v in mask.items()}
        inputs = model.encoder_inputs(now, seen)
        phi = {m.name: model.phi[m.name](inputs[m.name]) for m in model.experts}
        parts = torch.stack([model.expert[name](features) for name, features in phi.items()], 1)
        means, raws = (from_h.unflatten(-1, (len(phi), -1)) + parts).chunk(2, -1)
        present = torch.stack([seen[name] for name in phi], 1)
        mean, lam = product(prior_mean, prior_precision, means, precision(raws), present)
        z = mean + noise[:, t] * torch.rsqrt(lam)
        kl.append(kl_divergence(mean, lam, prior_mean, prior_precision))
        for name, value in now.items():
            costs[name].append(model.cost(name, value, seen[name], {"z": z, "h": h}))
        gates_x = torch.zeros(BATCH, 3 * model.config.hidden)
        for m in model.inputs:
            gates_x = gates_x + model.gates_x[m.name](phi[m.name]) * seen[m.name].unsqueeze(-1)
        h = model.advance(gates_x, z, gates_h, h)
    total = torch.stack(kl).mean()
    for m in model.modalities:
        total = total + m.weight * torch.stack(costs[m.name]).mean()
    return total


def ours(model: MMVRNN, x: Sequences, mask: Sequences, noise: Tensor) -> Tensor:
    return model.negative_elbo(x, mask, mask, model.initial_state(BATCH), {"z": noise}).total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    print(f"{BATCH} sequences of {TICKS} ticks; frames/s, median of {args.rounds} (spread)")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for hidden, latent in ((64, 16), (128, 32)):
            torch.manual_seed(0)
            modalities = (
                Modality("audio", 40),
                Modality("face", 52),
                Modality("engagement", 1, role="target", likelihood="logit_normal"),
            )
            model = MMVRNN(modalities, hidden=hidden, latent=latent)
            x = {m.name: torch.rand(BATCH, TICKS, m.dim) for m in modalities}
            mask = {m.name: torch.rand(BATCH, TICKS) < 0.8 for m in modalities}
            mask["audio"][:, -1] = True  # so that every tick counts
            noise = torch.randn(BATCH, TICKS, latent)
            torch.testing.assert_close(ours(model, x, mask, noise), by_tick(model, x, mask, noise))
            seconds: dict[str, list[float]] = {"by tick": [], "ours": []}
            for round_ in range(args.rounds + 1):
                for name, loss in (("by tick", by_tick), ("ours", ours)):
                    model.zero_grad()
                    start = time.perf_counter()
                    loss(model, x, mask, noise).backward()
                    if round_:  # the first warms up
                        seconds[name].append(time.perf_counter() - start)
            frames = {k: sorted(BATCH * TICKS / s for s in v) for k, v in seconds.items()}
            figures = ", ".join(
                f"{k} {statistics.median(v):,.0f} ({v[0]:,.0f}–{v[-1]:,.0f})" for k, v in frames.items()
            )
            ratios = sorted(a / b for a, b in zip(seconds["by tick"], seconds["ours"], strict=True))
            print(
                f"{threads} thread{'s' if threads > 1 else ' '}  H {hidden:3d}: {figures}; "
                f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
