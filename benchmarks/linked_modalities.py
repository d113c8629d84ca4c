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

from enrapt.models.experts import precision
from enrapt.models.generation import reconstruct
from enrapt.models.metrics import rmse
from enrapt.models.missing import Dropout, modality_dropout
from enrapt.models.mlp import he_initialise, mlp
from enrapt.models.mm_vrnn import MMVRNN, MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE, MVAEConfig

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
TARGET = Modality("target", 1, "target", "logit_normal")  # an MM-VRNN needs one; it is never available

Values = dict[str, Tensor]


class ConcatenatingVAE(MVAE):
    """MVAE's layers with one Gaussian in place of the experts, from the concatenated last hidden features of
    all modalities, zeros for missing ones."""

    def __init__(self, config: MVAEConfig) -> None:
        super().__init__(config)
        self.encoder = nn.ModuleDict(
            {m.name: nn.Sequential(mlp(m.dim, *config.hidden), nn.ReLU()) for m in config.modalities}
        )
        self.joint = nn.Linear(config.hidden[-1] * len(config.modalities), 2 * config.latent)
        he_initialise(self)  # as MVAE

    def posterior(self, x: Values, mask: Values) -> tuple[Tensor, Tensor]:
        features = [
            self.encoder[m.name](torch.where(mask[m.name].unsqueeze(-1), x[m.name], 0.0))
            * mask[m.name].unsqueeze(-1)
            for m in self.modalities
        ]
        mean, raw = self.joint(torch.cat(features, -1)).chunk(2, -1)
        return mean, precision(raw)


class Sequential:
    """An MM-VRNN on whole sequences."""

    def __init__(self, variant: str) -> None:
        fusion = "experts" if variant.startswith("experts") else "zeros"
        modalities = *MODALITIES, TARGET
        config = MMVRNNConfig(modalities, hidden=HIDDEN, latent=LATENT, fusion=fusion, reweight=True)
        self.model = MMVRNN(config)

    def loss(self, x: Values, available: Values, fed: Values, noise: Tensor, beta: float) -> Tensor:
        streams, ticks = noise.shape[:2]
        x = x | {"target": torch.zeros(streams, ticks, 1)}
        never = {"target": torch.zeros(streams, ticks, dtype=torch.bool)}
        state = self.model.initial_state(streams)
        losses, _ = self.model.loss(x, available | never, fed | never, state, noise, beta)
        return losses.total

    def reconstruct(self, x: Values, mask: Values) -> Values:
        return reconstruct(self.model, x, mask, self.model.initial_state(len(x["a"])))


class PerTick:
    """An MVAE or its concatenating variant, on each tick separately."""

    def __init__(self, variant: str) -> None:
        config = MVAEConfig(MODALITIES, hidden=(HIDDEN, HIDDEN), latent=LATENT)
        self.model = MVAE(config) if variant.startswith("experts") else ConcatenatingVAE(config)

    def loss(self, x: Values, available: Values, fed: Values, noise: Tensor, beta: float) -> Tensor:
        x, available, fed = ({m: v.flatten(0, 1) for m, v in d.items()} for d in (x, available, fed))
        mean, lam = self.model.posterior(x, fed)
        z = mean + noise.flatten(0, 1) * torch.rsqrt(lam)
        total = beta * self.model.kl(mean, lam, torch.ones(len(z), dtype=torch.bool))
        for m in DIMS:
            total = total + self.model.nll(m, x[m], available[m], z).sum() / available[m].sum()
        return total

    @torch.no_grad()
    def reconstruct(self, x: Values, mask: Values) -> Values:
        mean, _ = self.model.posterior(
            {m: v.flatten(0, 1) for m, v in x.items()}, {m: v.flatten() for m, v in mask.items()}
        )
        return {m: v.unflatten(0, x[m].shape[:2]) for m, v in self.model.decode(mean).items()}


MODELS: dict[str, Callable[[str], Sequential | PerTick]] = {"MM-VRNN": Sequential, "MVAE": PerTick}


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


def train(name: str, variant: str, data: Data, seed: int) -> Sequential | PerTick:
    torch.manual_seed(seed)
    trained = MODELS[name](variant)
    rng = np.random.default_rng((seed, 0))
    noise = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(trained.model.parameters(), lr=LEARNING_RATE)
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
        trained.loss(x, available, fed, draws, beta).backward()
        nn.utils.clip_grad_norm_(trained.model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    return trained


def errors(trained: Sequential | PerTick, clean: Values, x: Values) -> list[float]:
    """RMSE by modalities present, in the order of `SEEN`."""
    out = []
    for seen in SEEN.values():
        guess = trained.reconstruct(x, everywhere(len(x["a"]), seen))
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
                size = sum(p.numel() for p in runs[0].model.parameters())
                print(f"{row}{size:13d}{seconds:15.1f}", flush=True)


if __name__ == "__main__":
    main()
