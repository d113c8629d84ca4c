"""A causal filter distilled from an MDVAE, whose own posteriors look ahead.

    recurrence  h_t = GRU([φ_m(x_t^m) and flag of all observed m], h_{t-1})
    static      q_f(w | x_{1:t}) ∝ N(0, I) · Π_{s≤t} e(w | h_s)            s at which anything is present
    dynamic     q_f(z_t | x_{1:t}) = N(h_t, q_f(w | x_{1:t}))              all dynamic latents
    expected    q_f(z_t | x_{1:t-1}) = N(h_{t-1}, q_f(w | x_{1:t-1}))

w's precision and precision-weighted mean are sums over ticks, carried in the state, so w's precision only
grows. Training minimises KL(smoother ‖ filter) at every tick, with z_{1:t-1} sampled from the smoother, which
may see more than the filter: the target and the future. Averaged over that, the KL is, up to a constant, the
negative log-likelihood of the smoother's samples; its optimum has the mean and the variance of the smoother's
marginal given the past alone (as in moment matching; Minka 2001).

The target's decoder is linear in w and z^shared, as the smoother's, and their uncertainty is integrated out.
It starts as a copy of the smoother's decoder and is trained further by the likelihood of known targets,
because the filter's latents are independent of each other and the smoother's are not.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .checked import Checked, Size
from .dynamic_latent import Latent, ahead
from .engagement import Prediction, linear_logit, predictive
from .experts import kl_divergence, precision
from .likelihoods import logit_normal, nll
from .losses import masked_mean
from .mdvae import MDVAE, Inputs, MDVAEConfig
from .mlp import mlp
from .modality import Modality


class ForwardFilterConfig(Checked, frozen=True, tag_field="model", tag="forward_filter"):
    """Sizes of a forward filter and of the MDVAE that it is distilled from.

    Attributes:
        hidden: of the recurrence.
    """

    smoother: MDVAEConfig
    hidden: Size = 128

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.smoother.modalities


class FilterState(NamedTuple):
    """The state of a filter between two ticks.

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


Beliefs = dict[str, Belief]  # by latent


class ForwardFilter(nn.Module):
    """A causal filter with the latents of `smoother`; see the module's docstring.

    Args:
        smoother: trained beforehand; its weights are not changed.
    """

    def __init__(self, smoother: MDVAE, hidden: int) -> None:
        super().__init__()
        self.static = smoother.config.static
        self.smoother = smoother.requires_grad_(False)
        modalities = smoother.config.modalities
        self.observed = tuple(m for m in modalities if m.role == "observed")
        self.target = next((m for m in modalities if m.role == "target"), None)
        width = smoother.config.hidden
        self.inputs = Inputs(self.observed, width)
        self.gru = nn.GRU((width + 1) * len(self.observed), hidden, batch_first=True)
        if self.static:
            self.w_expert = nn.Linear(hidden, 2 * self.static)
            nn.init.constant_(
                self.w_expert.bias[self.static :], -5.0
            )  # one tick is weak evidence: there are many
        self.sizes = {name: size for name, size in smoother.sizes.items() if name != "w"}
        widths = hidden + 2 * self.static, hidden, 2 * sum(self.sizes.values())
        self.belief, self.expected = mlp(*widths), mlp(*widths)
        if self.target is not None:
            self.decoder = mlp(smoother.config.static + smoother.config.shared, 2)
        self.start()

    def start(self) -> None:
        """Copy the smoother's input features and its decoder of the target."""
        own = self.inputs.state_dict()
        self.inputs.load_state_dict({k: v for k, v in self.smoother.inputs.state_dict().items() if k in own})
        if self.target is not None:
            self.decoder.load_state_dict(self.smoother.decoder[self.target.name].state_dict())

    def normalise(self, name: str, center: Tensor, scale: Tensor) -> None:
        """Set a modality's mean and standard deviation, in raw units, `[D]`."""
        self.smoother.normalise(name, center, scale)
        if any(m.name == name for m in self.observed):
            self.inputs.normalise(name, center, scale)

    def initial_state(self, batch: int) -> FilterState:
        """The state before the first tick, where w is N(0, I)."""
        one = torch.ones(batch, self.static)
        return FilterState(torch.zeros(batch, self.gru.hidden_size), one, torch.zeros_like(one))

    def forward(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], state: FilterState
    ) -> tuple[Beliefs, Beliefs, FilterState]:
        """Filter a segment, of any length.

        Args:
            x, mask: `{modality: [B, T, D]}` and `{modality: bool [B, T]}`, of the observed modalities.

        Returns:
            Beliefs by latent at each tick; the predictions of each tick made before it; the state after the
            segment.
        """
        features, anything = self.encode(x, mask)
        hs, _ = self.gru(features, state.h.unsqueeze(0))  # [B, T, H]
        return self.segment_beliefs(hs, anything, state)

    def encode(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The recurrence's inputs, `[…, I]`, and where anything is present, bool `[…]`."""
        features, present = self.inputs(x, mask)
        return torch.cat(list(features.values()), -1), torch.stack(list(present.values())).any(0)

    def segment_beliefs(
        self, hs: Tensor, anything: Tensor, state: FilterState
    ) -> tuple[Beliefs, Beliefs, FilterState]:
        """The result of `forward`, from the recurrence's h `[B, T, H]`."""
        added = (evidence.cumsum(1) for evidence in self.evidence(hs, anything))
        after = FilterState(hs, *(s.unsqueeze(1) + more for s, more in zip(state[1:], added, strict=True)))
        before = FilterState(
            *(torch.cat([s.unsqueeze(1), a[:, :-1]], 1) for s, a in zip(state, after, strict=True))
        )
        return (
            self.beliefs(after),
            self.beliefs(before, self.expected),
            FilterState(*(a[:, -1] for a in after)),
        )

    def evidence(self, h: Tensor, anything: Tensor) -> tuple[Tensor, Tensor]:
        """What one tick adds to w's precision and to its shift, `[…, S]`."""
        if not self.static:
            return h[..., :0], h[..., :0]
        mean, raw = self.w_expert(h).chunk(2, -1)
        added = precision(raw) * anything.unsqueeze(-1)
        return added, added * mean

    def beliefs(self, state: FilterState, network: nn.Module | None = None) -> Beliefs:
        """Of each latent, from states `[…, ·]`; the dynamic ones by `network`, `belief` by default."""
        w = Belief(state.w_shift / state.w_precision, state.w_precision)
        context = torch.cat([state.h, w.mean, torch.rsqrt(w.precision)], -1)
        mean, raw = (network or self.belief)(context).chunk(2, -1)
        lam, sizes = precision(raw), [*self.sizes.values()]
        parts = zip(self.sizes, mean.split(sizes, -1), lam.split(sizes, -1), strict=True)
        dynamic = {name: Belief(*part) for name, *part in parts}
        return {"w": w} | dynamic if self.static else dynamic

    def predict(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], state: FilterState
    ) -> tuple[Prediction, dict[str, Tensor], FilterState]:
        """Filter a segment: the target's predictive distribution `[B, T, 1]`, the surprise
        `[B, T]` of each observed modality under the prediction made before seeing it, and the state after the
        segment."""
        beliefs, expected, state = self(x, mask, state)
        named = [m for m in self.observed if m.name in x]
        surprise = {m.name: self.surprise(m, x[m.name], mask[m.name], expected) for m in named}
        return self.target_distribution(beliefs), surprise, state

    def target_distribution(self, beliefs: Beliefs) -> Prediction:
        """The target's predictive distribution, `[B, T, 1]`."""
        return predictive(*self.logit(beliefs))

    def logit(self, beliefs: Beliefs) -> tuple[Tensor, Tensor]:
        """Location and scale of the target's logit, `[B, T, 1]`."""
        assert self.target is not None
        common = [beliefs[name] for name in ("w", "shared") if name in beliefs]
        mean, variance = (
            torch.cat([b.mean for b in common], -1),
            torch.cat([1 / b.precision for b in common], -1),
        )
        return linear_logit(self.decoder, mean, variance)

    def concatenated(self, beliefs: Beliefs) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of all latents, `[…, Z]`, in the order of the smoother's sizes."""
        every = [beliefs[name] for name in self.smoother.sizes]
        return torch.cat([b.mean for b in every], -1), torch.rsqrt(
            torch.cat([b.precision for b in every], -1)
        )

    def surprise(self, m: Modality, x: Tensor, mask: Tensor, expected: Beliefs) -> Tensor:
        """−log p(x_m), nats, of the normalised x, at the means of `expected`; 0 where masked; `[…]`."""
        parameters = self.smoother.parameters_of(m.name, {name: b.mean for name, b in expected.items()})
        return nll(m.likelihood, parameters, self.inputs.normalised(m.name, x, mask)) * mask

    def loss(
        self,
        x: Mapping[str, Tensor],
        available: Mapping[str, Tensor],
        fed: Mapping[str, Tensor],
        state: FilterState,
        noise: Mapping[str, Tensor],
    ) -> tuple[dict[str, Tensor], FilterState]:
        """The costs to minimise, see `distance`, and the state after the segment.

        The filter carries its state over from the segment before. The smoother takes the segment as a
        separate sequence, with the filter's w of before as its prior: w is constant over all segments.
        """
        known = state.w_shift / state.w_precision, state.w_precision
        with torch.no_grad():
            latents = self.smoother.encode(x, fed, noise, known if self.static else None)
        return self.distance(x, available, fed, latents, state)

    def distance(
        self,
        x: Mapping[str, Tensor],
        available: Mapping[str, Tensor],
        fed: Mapping[str, Tensor],
        latents: Mapping[str, Latent],
        state: FilterState,
    ) -> tuple[dict[str, Tensor], FilterState]:
        """KL(smoother ‖ filter) by latent, and of the predictions of the next tick as `expected`, nats per
        tick up to a sequence's last available one; as `target` λ times its −log p where it is known; and the
        state.

        Args:
            available: where there is a value, bool `[B, T]` by modality.
            fed: where the filter sees it; a subset of `available`.
            latents: of the smoother.
        """
        ticks = ahead(torch.stack(list(available.values())).any(0))  # [B, T]
        beliefs, expected, state = self(x, fed, state)
        costs = {}
        for name, belief in beliefs.items():
            mean, lam = latents[name].mean, latents[name].precision
            if name == "w":  # the same at every tick
                costs[name] = masked_mean(kl_divergence(mean.unsqueeze(1), lam.unsqueeze(1), *belief), ticks)
                continue
            costs[name] = masked_mean(kl_divergence(mean, lam, *belief), ticks)
            ahead_of = masked_mean(kl_divergence(mean, lam, *expected[name]), ticks)
            costs["expected"] = costs.get("expected", torch.zeros(())) + ahead_of
        if self.target is not None and self.target.name in available:
            known = available[self.target.name]
            y = torch.where(known.unsqueeze(-1), x[self.target.name], torch.tensor(0.5))
            nats = logit_normal(y, *self.logit(beliefs)).squeeze(-1)
            costs["target"] = self.target.factor * masked_mean(nats, known)
        return costs, state
