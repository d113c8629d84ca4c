"""Shared by the MDVAE benchmarks on audio and video: training in which either modality may be hidden."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from enrapt.models.mdvae import MDVAE

ABSENT = 0.15  # share of sequences in which audio is hidden from the encoders; video in another such share
Sequences = dict[str, Tensor]  # `[B, T, D]` by modality


def everywhere(x: Sequences) -> dict[str, Tensor]:
    """Masks of everything present."""
    return {m: torch.ones(v.shape[:2], dtype=torch.bool) for m, v in x.items()}


def train(
    model: MDVAE,
    draw: Callable[[int], Sequences],
    rng: np.random.Generator,
    *,
    streams: int,
    steps: int,
    warmup: int,
    rate: float,
) -> MDVAE:
    """Train on new sequences from `draw`; β rises to 1 over `warmup` steps, the learning rate falls to 0."""
    for name, x in draw(1000).items():
        model.normalise(name, x.mean((0, 1)), x.std((0, 1)))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        x = draw(streams)
        available = everywhere(x)
        fed = available
        if len(x) > 1:
            hidden = torch.from_numpy(rng.random((streams, 1)))
            kept = {"audio": hidden >= ABSENT, "video": hidden < 1 - ABSENT}
            fed = {m: seen & kept[m] for m, seen in available.items()}
        ticks = next(iter(x.values())).shape[1]
        latents = model.encode(x, fed, model.noise(streams, ticks))
        losses = model.costs(x, available, latents, min(1.0, (step + 1) / warmup))
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 50.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 249:
            kl = "  ".join(f"{k} {v.item():.2f}" for k, v in model.kl(latents, available).items())
            print(f"step {step + 1}: loss {losses.total.item():.2f} nats/tick, KL {kl}", flush=True)
    return model
