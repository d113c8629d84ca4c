"""A causal filter distilled from an MDVAE, whose own posteriors look ahead.

    recurrence  h_t = GRU([φ_m(x_t^m) and flag of all m], h_{t-1})
    static      q_f(w | x_{1:t}) ∝ N(0, I) · Π_{s≤t} e(w | h_s)            s at which anything is present
    dynamic     q_f(z_{t-lag} | x_{1:t}) = N(h_t, q_f(w | x_{1:t}))        each dynamic latent

w's precision and precision-weighted mean are sums over ticks, carried in the state: what is known of w only
grows. Training minimises KL(smoother ‖ filter) at every tick, with z_{1:t-1} sampled from the smoother, which
sees what is available while the filter sees what is fed. In the mean over futures that is, up to a constant,
the likelihood of the smoother's samples, and its optimum has the mean and the variance of the smoother's
marginal given the past alone (as in moment matching; Minka 2001).
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor, nn

from .dynamic_latent import ahead
from .experts import kl_divergence, precision
from .mdvae import MDVAE, MDVAEConfig


class ForwardFilterConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="model", tag="forward_filter"
):
    """Sizes of a forward filter and of the MDVAE that it is distilled from.

    Attributes:
        hidden: of the recurrence.
        lag: ticks between what is seen and what is told.
    """

    smoother: MDVAEConfig
    hidden: int = 128
    lag: int = 0

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.lag < 0:
            raise ValueError(f"hidden must be at least 1 and lag at least 0, found {self.hidden}, {self.lag}")


class FilterState(NamedTuple):
    """What a filter carries from tick to tick.

    Attributes:
        h: `[B, H]`.
        w_precision, w_shift: natural parameters of w, its precision and precision-weighted mean, `[B, S]`.
    """

    h: Tensor
    w_precision: Tensor
    w_shift: Tensor


class Belief(NamedTuple):
    """A Gaussian, `[B, T, Z]`."""

    mean: Tensor
    precision: Tensor


class ForwardFilter(nn.Module):
    """A causal filter with the latents of `model`; see the module's docstring.

    Args:
        model: the smoother. Its encoders are copied; it is not held on to.
        lag: ticks between what is seen and what is told: at tick t the beliefs are about z_{t-lag}.
    """

    def __init__(self, model: MDVAE, hidden: int, lag: int = 0) -> None:
        super().__init__()
        self.lag, self.static = lag, model.config.static
        self.inputs = deepcopy(model.inputs)
        self.gru = nn.GRU((model.config.hidden + 1) * len(model.config.modalities), hidden, batch_first=True)
        if self.static:
            self.w_expert = nn.Linear(hidden, 2 * self.static)
        self.belief = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(hidden + 2 * self.static, hidden), nn.ReLU(), nn.Linear(hidden, 2 * size)
                )
                for name, size in model.sizes.items()
                if name != "w"
            }
        )

    def initial_state(self, batch: int) -> FilterState:
        """Nothing seen: w is N(0, I)."""
        one = torch.ones(batch, self.static)
        return FilterState(torch.zeros(batch, self.gru.hidden_size), one, torch.zeros_like(one))

    def forward(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], state: FilterState
    ) -> tuple[dict[str, Belief], FilterState]:
        """Filter a segment, of any length.

        Args:
            x, mask: `{modality: [B, T, D]}` and `{modality: bool [B, T]}`, as an MDVAE's.

        Returns:
            Beliefs by latent at each tick, about w and about the others `lag` ticks before; the state after
            the segment. With a lag, the first `lag` ticks of a sequence mean nothing for the latter.
        """
        features, present = self.inputs(x, mask)
        hs, h = self.gru(torch.cat(list(features.values()), -1), state.h.unsqueeze(0))  # [B, T, H]
        beliefs = {}
        w_precision, w_shift = state.w_precision, state.w_shift
        context = hs
        if self.static:
            mean, raw = self.w_expert(hs).chunk(2, -1)  # [B, T, S]
            added = precision(raw) * torch.stack(list(present.values())).any(0).unsqueeze(-1)
            lam = w_precision.unsqueeze(1) + added.cumsum(1)
            shift = w_shift.unsqueeze(1) + (added * mean).cumsum(1)
            beliefs["w"] = Belief(shift / lam, lam)
            w_precision, w_shift = lam[:, -1], shift[:, -1]
            context = torch.cat([hs, shift / lam, torch.rsqrt(lam)], -1)
        for name, head in self.belief.items():
            mean, raw = head(context).chunk(2, -1)
            beliefs[name] = Belief(mean, precision(raw))
        return beliefs, FilterState(h.squeeze(0), w_precision, w_shift)

    def loss(
        self,
        model: MDVAE,
        x: Mapping[str, Tensor],
        available: Mapping[str, Tensor],
        fed: Mapping[str, Tensor],
        noise: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """KL(smoother ‖ filter) by latent, nats per tick up to a sequence's last available one.

        Args:
            available: what the smoother sees, bool `[B, T]` by modality.
            fed: what the filter sees; nowhere that it is not available.
            noise: the smoother's, of `model.noise`.
        """
        with torch.no_grad():
            latents = model.encode(x, available, noise)
        ticks = ahead(torch.stack(list(available.values())).any(0))  # [B, T]
        beliefs, _ = self(x, fed, self.initial_state(len(ticks)))
        losses = {}
        for name, belief in beliefs.items():
            mean, lam = latents[name].mean, latents[name].precision
            if name == "w":  # the same at every tick
                lag, mean, lam = 0, mean.unsqueeze(1), lam.unsqueeze(1)
            else:
                lag, end = self.lag, mean.shape[1] - self.lag
                mean, lam = mean[:, :end], lam[:, :end]
            kl = kl_divergence(mean, lam, belief.mean[:, lag:], belief.precision[:, lag:])
            counted = ticks[:, lag:]
            losses[name] = (kl * counted).sum() / counted.sum().clamp(min=1)
        return losses
