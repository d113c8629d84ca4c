"""A dynamic latent: its prior, and its posterior given present and future inputs.

    prior       p(z_t | z_{1:t-1})
    posterior   q(z_t | z_{1:t-1}, inputs_{t:T}) ∝ p(z_t | z_{1:t-1}) · e(z_t | z_{1:t-1}, inputs_{t:T})

As in the structured inference networks of Krishnan, Shalit & Sontag (2017), the posterior does not depend on
past inputs given z_{1:t-1}, and the future comes through a recurrence that runs backwards. As in an exact
smoother, where e is p(inputs_{t:T} | z_t) up to a constant, the expert multiplies the prior.
"""

import torch
from torch import Tensor, nn

from .experts import precision, product
from .latents import Latent


class DynamicLatent(nn.Module):
    """A dynamic latent: its prior p(z_t | z_{1:t-1}) and its posterior q(z_t | z_{1:t-1}, inputs_{t:T})."""

    def __init__(self, inputs: int, size: int, hidden: int) -> None:
        super().__init__()
        self.size, self.hidden = size, hidden
        self.ahead = nn.GRU(inputs, hidden, batch_first=True)  # runs backwards to t
        self.behind = nn.GRUCell(size, hidden)  # runs over z_{1:t-1}
        self.prior = nn.Linear(hidden + size, 2 * size)  # with a direct connection from z_{t-1}
        self.from_ahead = nn.Linear(hidden, hidden)
        self.from_behind = nn.Linear(hidden, hidden)
        self.expert = nn.Linear(hidden, 2 * size)

    def forward(self, inputs: Tensor, present: Tensor, noise: Tensor | None) -> Latent:
        """Infer z from inputs `[B, T, I]` and `present`, bool `[B, T]`; sampled with noise `[B, T, Z]`, or at
        the means."""
        evidence = self.from_ahead(backwards(self.ahead, inputs, present))  # [B, T, H]
        weights = ahead(present).to(inputs.dtype).unsqueeze(-1)  # [B, T, 1]: one expert
        h = inputs.new_zeros(inputs.shape[0], self.hidden)
        z = inputs.new_zeros(inputs.shape[0], self.size)
        draws = [None] * inputs.shape[1] if noise is None else noise.unbind(1)
        steps = []
        for seen, weight, draw in zip(evidence.unbind(1), weights.unbind(1), draws, strict=True):
            prior_mean, raw = self.prior(torch.cat([h, z], -1)).chunk(2, -1)
            prior_precision = precision(raw)
            expert_mean, raw = self.expert(torch.relu(seen + self.from_behind(h))).chunk(2, -1)
            expert = expert_mean.unsqueeze(1), precision(raw).unsqueeze(1)  # [B, 1, Z]
            mu, lam = product(prior_mean, prior_precision, *expert, weight)
            z = mu if draw is None else mu + draw * torch.rsqrt(lam)
            steps.append((mu, lam, prior_mean, prior_precision, z))
            h = self.behind(z, h)
        return Latent(*(torch.stack(column, 1) for column in zip(*steps, strict=True)))


def ahead(present: Tensor) -> Tensor:
    """Whether anything is present at or after each tick; bool `[B, T]`."""
    return present.flip(1).int().cumsum(1).flip(1) > 0


def backwards(gru: nn.GRU, inputs: Tensor, present: Tensor) -> Tensor:
    """States `[B, T, H]` of a recurrence that runs from each sequence's last present tick to its first."""
    length = ahead(present).sum(1, keepdim=True)
    turn = (length - 1 - torch.arange(inputs.shape[1], device=inputs.device)) % inputs.shape[
        1
    ]  # its own inverse
    states: Tensor = gru(inputs.take_along_dim(turn.unsqueeze(-1), 1))[0]
    return states.take_along_dim(turn.unsqueeze(-1), 1)
