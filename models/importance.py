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
    model: "Model", batch: Batch, samples: int, chunk: int, generator: torch.Generator | None
) -> Tensor:
    """log p of what is present, nats in raw units, `[N]`; of `ROWS` samples or sequences at a time, so that
    memory does not grow with N.

    Args:
        samples: K.
        chunk: of them in memory at a time; the draws, and so the result, do not depend on it.
    """
    if batch.size > ROWS:
        parts = [batch.rows(slice(start, start + ROWS)) for start in range(0, batch.size, ROWS)]
        return torch.cat([log_evidence(model, part, samples, chunk, generator) for part in parts])
    x, mask = model.flat(batch.x), batch.available
    encoded, shape = model.encoded(x, mask), next(iter(mask.values())).shape
    total = next(model.buffers()).new_full(shape[:1], -torch.inf)
    for start in range(0, samples, chunk):
        noise = model.noise(shape, generator, min(chunk, samples - start))
        weights = log_weights(model, x, mask, model.drawn(encoded, noise))
        total = torch.logaddexp(total, torch.logsumexp(weights, 0))
    return total - math.log(samples)


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
