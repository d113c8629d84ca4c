"""DMVAE: one latent shared by all modalities, one private latent each (Lee & Pavlovic 2021).

    prior      p(z_s) = N(0, I),  p(z_m) = N(0, I)                      every modality m
    posterior  q(z_s | X) ∝ p(z_s) · Π_m q_m(z_s | x_m)   m in X, of several,   q(z_m | x_m)
               q(z_s | x_m) = q_m(z_s | x_m)              of one alone
    decoders   p(x_m | z_s, z_m)
    ELBO(X)    Σ_m [E λ_m log p(x_m | z_s, z_m) − βγ KL(q(z_m | x_m) ‖ p)] − β KL(q(z_s | X) ‖ p)
    loss       −ELBO(all) − Σ_j ELBO(x_j)

Every ELBO reconstructs all modalities, each with its own private latent: jointly, with z_s from the product
of experts, and across, with z_s from one modality alone, so that information that other modalities need
cannot stay in a private latent. A sample counts for ELBO(x_j) where x_j is present. The private posterior of
a missing modality is the prior. With `prior_expert = "always"`, which is not in the paper, the prior is an
expert of q(z_s | x_m) as well.

The paper has β = γ = 1. Here γ may raise the cost of a private nat: a private latent can encode all of its
modality, and if it learns to do so first, z_s stays empty. A large γ at the start prevents that.

A target (not in the paper) has no private latent; its decoder is linear in z_s.

The latents are concatenated in one z: shared, then private in the configuration's order.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from .checked import Checked, Layers, OptionalSize, Size
from .engagement import Prediction, linear_logit, predictive
from .experts import kl_divergence, precision, product
from .importance import log_normal
from .likelihoods import mean, nll, width
from .losses import Losses, averaged
from .mlp import he_initialise, mlp
from .modality import Modalities, check_target
from .normalised import Normalised
from .subsets import Subset


class DMVAEConfig(Checked, frozen=True, tag_field="model", tag="dmvae"):
    """Sizes of a DMVAE.

    Attributes:
        private: size of each modality's private latent, in order; 0 for none.
        hidden: widths of the encoders' hidden layers; the decoders' are the same in reverse.
        prior_expert: whether the prior is an expert of q(z_s | X) only where X has several modalities, or
            always.
        reweight: average each likelihood over the samples that have its modality, rather than over all; see
            `losses.averaged`.
    """

    modalities: Modalities
    private: tuple[OptionalSize, ...]
    shared: Size = 16
    hidden: Layers = (512, 256)
    prior_expert: Literal["several", "always"] = "several"
    reweight: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [m.name for m in self.modalities]
        if len(set(names)) != len(names):
            raise ValueError(f"modalities must have different names, found {names}")
        if len(self.private) != len(names):
            raise ValueError(f"private must be {len(names)} numbers, one per modality, found {self.private}")
        if roles := {m.name: m.role for m in self.modalities if m.role == "context"}:
            raise ValueError(f"a dmvae's modalities must be observed, or one the target, found {roles}")
        check_target(self.modalities)
        if any(m.role == "target" and size for m, size in zip(self.modalities, self.private, strict=True)):
            raise ValueError("private must be 0 for the target, which is predicted from the shared latent")


class DMVAE(Normalised):
    """A private-shared multimodal VAE; see the module's docstring. Inputs are those of `MVAE`."""

    def __init__(self, config: DMVAEConfig) -> None:
        super().__init__(config.modalities)
        self.config = config
        self.modalities = config.modalities
        names = tuple(m.name for m in self.modalities)
        self.sources = (names,) if len(names) == 1 else (names, *((name,) for name in names))
        self.widths = (config.shared, *config.private)  # of the parts of z
        self.latent = sum(self.widths)  # Z
        self.encoder = nn.ModuleDict()
        self.decoder = nn.ModuleDict()
        for m, private in zip(self.modalities, config.private, strict=True):
            both = config.shared + private
            self.encoder[m.name] = mlp(m.dim, *config.hidden, 2 * both)
            layers = reversed(config.hidden) if m.role == "observed" else ()
            self.decoder[m.name] = mlp(both, *layers, width(m.likelihood, m.dim))
        he_initialise(self)

    def experts(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Experts of the given modalities: mean and precision `[B, S + P_m]`, of z_s, then of z_m."""
        experts = {}
        for m in self.modalities:
            if m.name in x:
                value = self.encoder_input(m.name, x[m.name], mask[m.name])
                means, raw = self.encoder[m.name](value).chunk(2, -1)
                experts[m.name] = means, precision(raw)
        return experts

    def combine(
        self, experts: Mapping[str, tuple[Tensor, Tensor]], mask: Mapping[str, Tensor], source: Subset
    ) -> tuple[Tensor, Tensor]:
        """Mean and precision of q(z), `[B, Z]`: z_s from the experts in `source`, z_m from its own
        modality."""
        size = self.config.shared
        batch = next(iter(experts.values()))[0].shape[0]
        present = torch.stack([mask[name] & (name in source) for name in experts], 1)  # [B, M]
        prior_precision = torch.ones(batch, 1)
        if self.config.prior_expert == "several":
            prior_precision = torch.where(present.sum(1, keepdim=True) == 1, 0.0, prior_precision)
        shared_mean, shared_precision = product(
            torch.zeros(size),
            prior_precision,
            torch.stack([mu[:, :size] for mu, _ in experts.values()], 1),  # [B, M, S]
            torch.stack([lam[:, :size] for _, lam in experts.values()], 1),
            present,
        )
        means, precisions = [shared_mean], [shared_precision]
        for m, private in zip(self.modalities, self.config.private, strict=True):
            mu, lam = torch.zeros(batch, private), torch.ones(batch, private)  # the prior
            if m.name in experts:
                seen = mask[m.name].unsqueeze(-1)
                own_mu, own_lam = (part[:, size:] for part in experts[m.name])
                mu, lam = torch.where(seen, own_mu, mu), torch.where(seen, own_lam, lam)
            means.append(mu)
            precisions.append(lam)
        return torch.cat(means, -1), torch.cat(precisions, -1)

    def posterior(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and precision of q(z | what is present), `[B, Z]`."""
        return self.combine(self.experts(x, mask), mask, self.sources[0])

    def loss(
        self,
        x: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        noise: Tensor,
        beta: float = 1.0,
        gamma: float = 1.0,
    ) -> Losses:
        """The sum of the negative joint and cross ELBOs.

        All is averaged over the samples with the source present; see `reweight`.

        Args:
            noise: `[E, B, Z]` from N(0, 1), one draw for each of `sources`.
            gamma: γ, the cost of a private nat relative to a shared one.
        """
        experts = self.experts(x, mask)
        shared = private = torch.zeros(())
        costs = dict.fromkeys(experts, shared)
        for source, draw in zip(self.sources, noise, strict=True):
            seen = torch.stack([mask[name] & (name in source) for name in experts]).any(0)  # [B]
            q_mean, q_precision = self.combine(experts, mask, source)
            kl_shared, kl_private = self.kl(q_mean, q_precision, seen, mask)
            shared, private = shared + kl_shared, private + kl_private
            z = q_mean + draw * torch.rsqrt(q_precision)
            for name in experts:
                both = seen & mask[name]
                nats = self.nll(name, x[name], both, z)
                costs[name] = costs[name] + averaged(nats, both, seen, self.config.reweight)
        total = beta * (shared + gamma * private)
        for m in self.modalities:
            if m.name in costs:
                total = total + m.factor * costs[m.name]
        return Losses(total, shared + private, costs)

    def kl(
        self, q_mean: Tensor, q_precision: Tensor, seen: Tensor, mask: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """KL(q ‖ N(0, I)) of z_s, and of all z_m: where m is not present it is 0."""
        means = q_mean.split(self.widths, -1)
        precisions = q_precision.split(self.widths, -1)
        kl = []
        counted = [seen, *(seen & mask.get(m.name, torch.zeros_like(seen)) for m in self.modalities)]
        for mu, lam, where in zip(means, precisions, counted, strict=True):
            nats = kl_divergence(mu, lam, torch.zeros_like(mu), torch.ones_like(lam))
            kl.append(averaged(nats, where, seen, self.config.reweight))
        return kl[0], torch.stack(kl[1:]).sum()

    def predict(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> tuple[Prediction, dict[str, Tensor]]:
        """The target's predictive distribution `[B, 1]` given what is present, with z_s integrated out, and
        the surprise `[B]` of each given modality under its decoder at the prior's mean."""
        (target,) = (m for m in self.modalities if m.role == "target")
        mean, lam = (part[:, : self.config.shared] for part in self.posterior(x, mask))
        surprise = {name: self.nll(name, x[name], mask[name], torch.zeros(self.latent)) for name in x}
        return predictive(*linear_logit(self.decoder[target.name], mean, 1 / lam)), surprise

    def parameters_of(self, name: str, z: Tensor) -> Tensor:
        """The parameters of p(x_m | z_s, z_m), `[…, width]`; z `[…, Z]`."""
        parts = z.split(self.widths, -1)
        index = self.sources[0].index(name)
        parameters: Tensor = self.decoder[name](torch.cat([parts[0], parts[1 + index]], -1))
        return parameters

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        """The mean of p(x_m | z), `[…, D]`, by modality.

        With z from N(0, I) these are samples of the prior; with z from a posterior, every modality given what
        was present, missing ones with a private latent from the prior."""
        means = {m.name: mean(m.likelihood, self.parameters_of(m.name, z)) for m in self.modalities}
        return {m.name: self.in_raw_units(m, means[m.name]) for m in self.modalities}

    def swap(self, z: Tensor, other: Tensor) -> Tensor:
        """The shared latent of `z` with the private latents of `other`, `[…, Z]`."""
        shared = self.config.shared
        return torch.cat([z[..., :shared], other[..., shared:]], -1)

    def nll(self, name: str, x: Tensor, mask: Tensor, z: Tensor) -> Tensor:
        """−log p(x_m | z), nats, of the normalised x; 0 where masked. x `[B, D]`, z `[…, B, Z]`, gives
        `[…, B]`."""
        (likelihood,) = (m.likelihood for m in self.modalities if m.name == name)
        value = self.normalised(name, x, mask)
        return nll(likelihood, self.parameters_of(name, z), value) * mask

    def log_joint(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], z: Tensor) -> Tensor:
        """log p(z) + Σ_m log p(x_m | z) of the modalities present, nats in raw units, `[…, B]`.

        z is `[…, B, Z]`."""
        total = log_normal(z, torch.zeros(self.latent), torch.ones(self.latent))
        for m in self.modalities:
            if m.name in x:
                total = total - self.nll(m.name, x[m.name], mask[m.name], z)
                total = total - self.log_volume(m) * mask[m.name]
        return total
