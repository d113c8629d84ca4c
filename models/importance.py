"""Log-likelihoods by importance sampling (Burda, Grosse & Salakhutdinov 2016).

log p(x) ≈ log 1/K Σ_k p(x, z_k) / q(z_k | x)   z_k ~ q         (equation 8)
"""

import math
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from .batch import Batch
from .experts import log_normal
from .latents import Inferred
from .normalised import Values

if TYPE_CHECKING:
    from .model import Model

ROWS: Final = 100  # samples or sequences in memory at a time, `chunk` draws each


def log_evidence(
    model: "Model", batches: list[Batch], samples: int, chunk: int, generator: torch.Generator | None
) -> list[Tensor]:
    """log p of what is present, nats in raw units, `[N]`, in each of several batches: of the same samples or
    sequences, with other modalities of them. `ROWS` are taken at a time, so that memory does not grow with N.

    All batches take the same draws, so that their differences are less noisy, and exactly 0 where the same is
    present.

    Args:
        samples: K.
        chunk: of them in memory at a time; the draws, and so the result, do not depend on it.
    """
    if (size := batches[0].size) > ROWS:
        rows = [slice(start, start + ROWS) for start in range(0, size, ROWS)]
        parts = [log_evidence(model, [b.rows(r) for b in batches], samples, chunk, generator) for r in rows]
        return [torch.cat(part) for part in zip(*parts, strict=True)]
    data = [(model.flat(batch.x), batch.available) for batch in batches]
    encoded = [model.encoded(x, mask) for x, mask in data]
    shape = next(iter(batches[0].available.values())).shape
    totals = [next(model.buffers()).new_full(shape[:1], -torch.inf) for _ in batches]
    for start in range(0, samples, chunk):
        noise = model.noise(shape, generator, min(chunk, samples - start))
        for i, (x, mask) in enumerate(data):
            weights = log_weights(model, x, mask, model.drawn(encoded[i], noise))
            totals[i] = torch.logaddexp(totals[i], torch.logsumexp(weights, 0))
    return [total - math.log(samples) for total in totals]


def log_weights(model: "Model", x: Values, mask: Values, inferred: Inferred) -> Tensor:
    """log p(x, z) / q(z | x), nats in raw units, `[K, B]`, of draws `[K, B, …]` from q."""
    total = torch.zeros(())
    for q_mean, q_precision, prior_mean, prior_precision, z in inferred.latents.values():
        ratio = log_normal(z, prior_mean, prior_precision) - log_normal(z, q_mean, q_precision)
        total = total.to(ratio) + (ratio.flatten(2).sum(-1) if ratio.ndim > 2 else ratio)
    for name in x:
        m = model.by_name[name]
        if m.role == "context":
            continue
        nats = model.cost(name, x[name], mask[name], inferred.z) + model.log_volume(m) * mask[name]
        total = total - (nats.flatten(2).sum(-1) if nats.ndim > 2 else nats)
    return total
