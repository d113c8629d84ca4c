"""MVAE: a multimodal variational autoencoder with one Gaussian expert per modality (Wu & Goodman 2018).

    prior      p(z) = N(0, I)
    posterior  q(z | X) ∝ p(z) · Π_m q_m(z | x_m)   m in X            (section 2.1)
    decoders   p(x_m | z)                           all m
    ELBO(X)    E_q(z|X) [Σ_m λ_m log p(x_m | z)] − β KL(q(z | X) ‖ p(z))   m in X   (equation 3)
    loss       −ELBO(all) − Σ_m ELBO(x_m) − Σ_j ELBO(X_j)             (equation 4)

for any subset X of the modalities: with none the posterior is the prior. The X_j are random subsets, see
`subsets`. In the paper each ELBO reconstructs the modalities of its own subset only, and that is the default.
With `cross` = c > 0, which is not in the paper, ELBO(X) also has

    c · Σ_m E_q(z|X) [λ_m log p(x_m | z)]   m not in X

This is for a target, which has to be predicted from the others, and for a modality that carries little
information beside them: nothing in the paper's objective ties q(z | x_m) to what the other decoders make of
it. On MNIST q(z | label) becomes the prior, and the label's image any digit. A target's decoder is linear in
z.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .checked import Checked, Layers, Size, Weight
from .engagement import Prediction, linear_logit, predictive
from .experts import kl_divergence, precision, product
from .importance import log_normal
from .likelihoods import mean, nll, width
from .losses import Losses, averaged, masked_mean
from .mlp import he_initialise, mlp
from .modality import Modalities, check_target
from .normalised import Normalised
from .subsets import Subset


class MVAEConfig(Checked, frozen=True, tag_field="model", tag="mvae"):
    """Sizes of an MVAE.

    Attributes:
        hidden: widths of the encoders' hidden layers; the decoders' are the same in reverse.
        cross: c, the factor on λ of a modality that is reconstructed from a subset without it.
        free_nats: nats of each latent dimension's KL, averaged over the batch, that cost nothing (Kingma et
            al. 2016).
        reweight: average each likelihood over the samples that have its modality, rather than over all; see
            `losses.averaged`.
    """

    modalities: Modalities
    hidden: Layers = (512, 256)
    latent: Size = 64
    cross: Weight = 0.0
    free_nats: Weight = 0.0
    reweight: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [m.name for m in self.modalities]
        if len(set(names)) != len(names):
            raise ValueError(f"modalities must have different names, found {names}")
        if roles := {m.name: m.role for m in self.modalities if m.role == "context"}:
            raise ValueError(f"an mvae's modalities must be observed, or one the target, found {roles}")
        check_target(self.modalities)


class MVAE(Normalised):
    """A multimodal VAE; see the module's docstring.

    Inputs are dictionaries `{modality: [B, D]}` with masks `{modality: bool [B]}`. A modality left out is
    masked; a masked value may be anything, NaN included.
    """

    def __init__(self, config: MVAEConfig) -> None:
        super().__init__(config.modalities)
        self.config = config
        self.modalities = config.modalities
        hidden, latent = config.hidden, config.latent
        self.encoder = nn.ModuleDict({m.name: mlp(m.dim, *hidden, 2 * latent) for m in self.modalities})
        self.decoder = nn.ModuleDict(
            {
                m.name: mlp(
                    latent, *(reversed(hidden) if m.role == "observed" else ()), width(m.likelihood, m.dim)
                )
                for m in self.modalities
            }
        )
        he_initialise(self)
        self.prior_mean: Tensor
        self.prior_precision: Tensor
        self.register_buffer("prior_mean", torch.zeros(latent), persistent=False)
        self.register_buffer("prior_precision", torch.ones(latent), persistent=False)

    def experts(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> tuple[Subset, Tensor, Tensor, Tensor]:
        """Experts of the given modalities: names, means and precisions `[B, M, Z]`, presence `[B, M]`."""
        names = tuple(m.name for m in self.modalities if m.name in x)
        raw = [self.encoder[name](self.encoder_input(name, x[name], mask[name])) for name in names]
        means, precisions = torch.stack(raw, 1).chunk(2, -1)  # [B, M, 2 Z]
        return names, means, precision(precisions), torch.stack([mask[name] for name in names], 1)

    def posterior(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and precision of q(z | what is present), `[B, Z]`."""
        _, means, precisions, present = self.experts(x, mask)
        return product(self.prior_mean, self.prior_precision, means, precisions, present)

    def loss(
        self,
        x: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        subsets: Sequence[Subset],
        noise: Tensor,
        beta: float = 1.0,
    ) -> Losses:
        """The sum of the subsets' negative ELBOs.

        All is averaged over the samples with something present; see `reweight`. `nll` includes what `cross`
        adds.

        Args:
            subsets: S subsets, see `training_subsets`.
            noise: `[S, B, Z]` from N(0, 1).
        """
        names, means, precisions, present = self.experts(x, mask)
        kl = torch.zeros(())
        costs = dict.fromkeys(names, kl)
        for subset, draw in zip(subsets, noise, strict=True):
            chosen = present & torch.tensor([name in subset for name in names])
            q_mean, q_precision = product(self.prior_mean, self.prior_precision, means, precisions, chosen)
            seen = chosen.any(-1)  # [B]
            kl = kl + self.kl(q_mean, q_precision, seen)
            z = q_mean + draw * torch.rsqrt(q_precision)
            for name in names:
                share = 1.0 if name in subset else self.config.cross
                if share:
                    both = seen & mask[name]
                    nats = self.nll(name, x[name], both, z)
                    costs[name] = costs[name] + share * averaged(nats, both, seen, self.config.reweight)
        total = beta * kl
        for m in self.modalities:
            if m.name in costs:
                total = total + m.factor * costs[m.name]
        return Losses(total, kl, costs)

    def kl(self, q_mean: Tensor, q_precision: Tensor, seen: Tensor) -> Tensor:
        """Mean of KL(q ‖ N(0, I)) where something is present, per dimension at least `free_nats`."""
        by_latent = kl_divergence(
            q_mean.unsqueeze(-1),
            q_precision.unsqueeze(-1),
            self.prior_mean.unsqueeze(-1),
            self.prior_precision.unsqueeze(-1),
        )  # [B, Z]
        return masked_mean(by_latent, seen.unsqueeze(-1), 0).clamp(min=self.config.free_nats).sum()

    def predict(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> tuple[Prediction, dict[str, Tensor]]:
        """The target's predictive distribution `[B, 1]` given what is present, with z integrated out, and the
        surprise `[B]` of each given modality under its decoder at the prior's mean."""
        (target,) = (m for m in self.modalities if m.role == "target")
        mean, lam = self.posterior(x, mask)
        surprise = {name: self.nll(name, x[name], mask[name], self.prior_mean) for name in x}
        return predictive(*linear_logit(self.decoder[target.name], mean, 1 / lam)), surprise

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        """The mean of p(x_m | z), `[…, D]`, by modality.

        With z from N(0, I) these are samples of the prior; with z from a subset's posterior, every modality
        given that subset."""
        means = {m.name: mean(m.likelihood, self.decoder[m.name](z)) for m in self.modalities}
        return {m.name: self.in_raw_units(m, means[m.name]) for m in self.modalities}

    def nll(self, name: str, x: Tensor, mask: Tensor, z: Tensor) -> Tensor:
        """−log p(x_m | z), nats, of the normalised x; 0 where masked. x `[B, D]`, z `[…, B, Z]`, gives
        `[…, B]`."""
        (likelihood,) = (m.likelihood for m in self.modalities if m.name == name)
        value = self.normalised(name, x, mask)
        return nll(likelihood, self.decoder[name](z), value) * mask

    def log_joint(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], z: Tensor) -> Tensor:
        """log p(z) + Σ_m log p(x_m | z) of the modalities present, nats in raw units, `[…, B]`.

        z is `[…, B, Z]`."""
        total = log_normal(z, self.prior_mean, self.prior_precision)
        for m in self.modalities:
            if m.name in x:
                total = total - self.nll(m.name, x[m.name], mask[m.name], z)
                total = total - self.log_volume(m) * mask[m.name]
        return total
