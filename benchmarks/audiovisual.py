"""Shared by the MDVAE benchmarks on audio and video: training in which either modality may be hidden."""

import torch

from enrapt.models import MDVAE, Annealing, Modality, fit
from enrapt.models.training import Progress

ABSENT = 0.15  # share of sequences in which audio is hidden from the encoders; the same of video


def learn(
    x: dict[str, torch.Tensor], *, seed: int, batch: int, epochs: int, warmup: int, rate: float, static: int
) -> MDVAE:
    """An MDVAE trained on sequences `[N, T, D]` by modality; β rises to 1 over `warmup` epochs."""
    torch.manual_seed(seed)
    modalities = [Modality(m, v.shape[-1], likelihood="normal") for m, v in x.items()]
    model = MDVAE(modalities, hidden=48, static=static, shared=2, private=1)

    def report(done: Progress) -> None:
        if done.round % 5 == 0:
            print(f"epoch {done.round}: loss {done.metrics['loss']:.2f} nats/tick", flush=True)

    fit(
        model, x, batch=batch, epochs=epochs, lr=rate, annealing=Annealing(rounds=warmup), clip=50.0,
        dropout=ABSENT if len(x) > 1 else 0.0, seed=seed, progress=report,
    )  # fmt: skip
    return model
