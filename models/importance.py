"""Log-likelihoods by importance sampling (Burda et al. 2016, equation 8).

    log p(x) ≈ log 1/K Σ_k p(x, z_k) / q(z_k)   z_k ~ q

In expectation this is below log p(x); it converges to it as K grows, and is exact for any K where q is
p(z | x). A model with several latents concatenates them into one z.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

LogJoint = Callable[[Tensor], Tensor]  # z `[K, B, Z]` → log p(x, z) `[K, B]`
Proposal = tuple[Tensor, Tensor]  # mean and precision of q(z), `[B, Z]`


def log_normal(z: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """log N(z; mean, 1/precision), nats, summed over the last axis."""
    return 0.5 * (torch.log(precision / (2 * math.pi)) - precision * (z - mean).square()).sum(-1)


@torch.no_grad()
def log_likelihood(
    log_joint: LogJoint, proposal: Proposal, samples: int, generator: torch.Generator, chunk: int = 100
) -> Tensor:
    """log p(x), `[B]`, nats.

    Args:
        samples: K.
        chunk: samples in memory at a time; the draws, and so the result, do not depend on it.
    """
    mean, precision = proposal
    total = torch.full(mean.shape[:1], -torch.inf, dtype=mean.dtype)
    for start in range(0, samples, chunk):
        # One draw per sample: a generator's numbers depend on the size of the request.
        draws = [
            torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
            for _ in range(min(chunk, samples - start))
        ]
        z = mean + torch.stack(draws) * torch.rsqrt(precision)  # [K, B, Z]
        weights = log_joint(z) - log_normal(z, mean, precision)
        total = torch.logaddexp(total, torch.logsumexp(weights, 0))
    return total - math.log(samples)


def log_conditional(
    joint: tuple[LogJoint, Proposal],
    given: tuple[LogJoint, Proposal],
    samples: int,
    generator: torch.Generator,
    chunk: int = 100,
) -> Tensor:
    """log p(x | y) = log p(x, y) − log p(y), `[B]`, nats.

    Args:
        joint: log p(x, y, z) and q(z | x, y).
        given: log p(y, z) and q(z | y); q(z | x, y) would cover too little of p(y).
    """
    both = log_likelihood(*joint, samples, generator, chunk)
    return both - log_likelihood(*given, samples, generator, chunk)
