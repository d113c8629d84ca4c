"""Reconstruction of one of two linked modalities from the other: experts against concatenation with zeros.

    python benchmarks/linked_modalities.py [--sequences validation|test] [--links spiral …] [--seeds 3]

Data are generated (`datasets/linked.py`), new at every step. Two models, MM-VRNN over the sequence and MVAE
on each tick separately, in variants with the same layers, steps, data, noise and hidden ticks (modality
dropout, `missing.Dropout`) by seed:

    experts    a product of experts
    zeros      the last hidden features of both modalities concatenated, zeros for a missing one
    , dropped  hidden values are left out of the loss too; otherwise they are reconstructed

`MVAE.loss`, with every subset at every step, is not used: dropout draws one subset per tick, the same for
experts and zeros. Each likelihood is averaged over the ticks at which it counts.

The score is the RMSE on held-out sequences with one modality missing throughout: reconstruction from the
posterior's mean against the noiseless value, in standard deviations of the observed values (their mean would
score about 1). `both present`: error of both modalities with neither missing. Mean ± standard deviation over
seeds, which determine weights and training data; the test sequences are the same for all.
"""

import argparse
import time
from collections.abc import Callable
from typing import get_args

import numpy as np
import torch
from datasets.linked import DIMS, Link, simulate
from torch import Tensor, nn

from enrapt.models import MMVRNN, MVAE, Dropout, Modality, Model
from enrapt.models.evaluation import reconstruct
from enrapt.models.experts import precision
from enrapt.models.metrics import rmse
from enrapt.models.missing import modality_dropout
from enrapt.models.mlp import he_initialise, mlp

STREAMS, TICKS, RATE = 32, 30, 25
STEPS = {"MM-VRNN": 300, "MVAE": 600}
WARMUP = 0.25  # share of the steps over which β rises to 1
LEARNING_RATE = 5e-3
HIDDEN, LATENT = 48, 8
MEASURED = 500
SEED_OF = {"moments": 1, "validation": 2, "test": 3}
SEEN = {"b from a": ("a",), "a from b": ("b",), "both present": ("a", "b")}
VARIANTS = {
    "MM-VRNN": ("experts", "zeros", "zeros, dropped"),
    "MVAE": ("experts", "zeros", "experts, dropped", "zeros, dropped"),
}

MODALITIES = tuple(Modality(m, dim, likelihood="normal") for m, dim in DIMS.items())

Values = dict[str, Tensor]


class ConcatenatingVAE(MVAE):
    """MVAE's layers with one Gaussian in place of the experts, from the concatenated last hidden features of
    all modalities, zeros for missing ones."""

    def __init__(self, modalities: tuple[Modality, ...], hidden: tuple[int, ...], latent: int) -> None:
        super().__init__(modalities, hidden=hidden, latent=latent)
        self.encoder = nn.ModuleDict(
            {m.name: nn.Sequential(mlp(m.dim, *hidden), nn.ReLU()) for m in modalities}
        )
        self.joint = nn.Linear(hidden[-1] * len(modalities), 2 * latent)
        he_initialise(self)  # as MVAE

    def posterior(self, x: Values, mask: Values) -> dict[str, tuple[Tensor, Tensor]]:
        inputs = self.encoder_inputs(x, mask)
        features = [
            self.encoder[m.name](inputs[m.name]) * mask[m.name].unsqueeze(-1) for m in self.modalities
        ]
        mean, raw = self.joint(torch.cat(features, -1)).chunk(2, -1)
        return {"z": (mean, precision(raw))}


def sequential(variant: str) -> Model:
    """An MM-VRNN on whole sequences."""
    fusion = "experts" if variant.startswith("experts") else "zeros"
    return MMVRNN(MODALITIES, hidden=HIDDEN, latent=LATENT, fusion=fusion, reweight=True)


def per_tick(variant: str) -> Model:
    """An MVAE or its concatenating variant, on each tick separately."""
    kind = MVAE if variant.startswith("experts") else ConcatenatingVAE
    return kind(MODALITIES, hidden=(HIDDEN, HIDDEN), latent=LATENT)


MODELS: dict[str, Callable[[str], Model]] = {"MM-VRNN": sequential, "MVAE": per_tick}


def loss_of(model: Model, x: Values, available: Values, fed: Values, noise: Tensor, beta: float) -> Tensor:
    if isinstance(model, MMVRNN):
        return model.negative_elbo(x, available, fed, (), {"z": noise}, beta).total
    x, available, fed = ({m: v.flatten(0, 1) for m, v in d.items()} for d in (x, available, fed))
    mean, lam = model.posterior(x, fed)["z"]
    z = {"z": mean + noise.flatten(0, 1) * torch.rsqrt(lam)}
    total = beta * model.kl(mean, lam, torch.ones(len(mean), dtype=torch.bool))
    for m in DIMS:
        total = total + model.cost(m, x[m], available[m], z).sum() / available[m].sum()
    return total


class Data:
    """Sequences of a link, in standard deviations of the observed values."""

    def __init__(self, link: Link) -> None:
        self.link = link
        x = simulate(np.random.default_rng(SEED_OF["moments"]), link, 2000, TICKS).x
        self.moments = {m: (v.mean((0, 1)), v.std((0, 1))) for m, v in x.items()}

    def draw(self, rng: np.random.Generator, streams: int) -> tuple[Values, Values]:
        """Noiseless and observed values, `[streams, TICKS, D]` by modality."""
        clean, x = simulate(rng, self.link, streams, TICKS)
        return self.standardised(clean), self.standardised(x)

    def standardised(self, values: dict[str, np.ndarray]) -> Values:
        return {m: torch.from_numpy((v - self.moments[m][0]) / self.moments[m][1]) for m, v in values.items()}


def everywhere(streams: int, seen: tuple[str, ...] = tuple(DIMS)) -> Values:
    """A mask with these modalities present throughout."""
    return {m: torch.full((streams, TICKS), m in seen) for m in DIMS}


def train(name: str, variant: str, data: Data, seed: int) -> Model:
    torch.manual_seed(seed)
    model = MODELS[name](variant)
    rng = np.random.default_rng((seed, 0))
    noise = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS[name])
    for step in range(STEPS[name]):
        _, x = data.draw(rng, STREAMS)
        fed = {
            m: ~torch.from_numpy(modality_dropout(rng, STREAMS, TICKS, RATE, Dropout()).copy()) for m in DIMS
        }
        available = fed if "dropped" in variant else everywhere(STREAMS)
        draws = torch.randn(STREAMS, TICKS, LATENT, generator=noise)
        beta = min(1.0, (step + 1) / (WARMUP * STEPS[name]))
        optimizer.zero_grad()
        loss_of(model, x, available, fed, draws, beta).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    return model


def errors(model: Model, clean: Values, x: Values) -> list[float]:
    """RMSE by modalities present, in the order of `SEEN`."""
    out = []
    for seen in SEEN.values():
        guess = reconstruct(model, x, everywhere(len(x["a"]), seen))
        missing = [m for m in DIMS if m not in seen] or list(DIMS)
        pairs = [torch.cat([d[m] for m in missing], -1).numpy() for d in (clean, guess)]
        out.append(rmse(*pairs))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", choices=("validation", "test"), default="test")
    parser.add_argument("--links", nargs="+", choices=get_args(Link), default=get_args(Link))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"RMSE in standard deviations on {MEASURED} {arguments.sequences} sequences; ", end="")
    print(f"mean ± standard deviation of {arguments.seeds} seeds")
    print(f"{'':42s}" + "".join(f"{k:>15s}" for k in SEEN) + "   parameters   CPU s per training", flush=True)
    for link in arguments.links:
        data = Data(link)
        clean, x = data.draw(np.random.default_rng(SEED_OF[arguments.sequences]), MEASURED)
        for name in MODELS:
            for variant in VARIANTS[name]:
                began = time.process_time()
                runs = [train(name, variant, data, seed) for seed in range(arguments.seeds)]
                seconds = (time.process_time() - began) / arguments.seeds
                table = np.array([errors(run, clean, x) for run in runs])
                row = f"{link:12s}{name:12s}{variant:18s}"
                row += "".join(
                    f"{m:8.3f} ± {d:.3f}" for m, d in zip(table.mean(0), table.std(0), strict=True)
                )
                size = sum(p.numel() for p in runs[0].parameters())
                print(f"{row}{size:13d}{seconds:15.1f}", flush=True)


if __name__ == "__main__":
    main()
