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

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .arguments import check_values
from .batch import NO_SPREAD, Batch, Data
from .checked import Count, Layers, Size, Weight
from .coders import decoder_of, encoder_of
from .experts import kl_divergence, precision, product
from .losses import Losses, averaged, masked_mean
from .modality import Modality, check_modalities
from .model import State
from .model_config import ModelConfig
from .normalised import Values
from .stateless import Gaussian, Stateless
from .subsets import Subset, every_subset, training_subsets
from .target import TargetDecoder


class MVAEConfig(ModelConfig, frozen=True, tag_field="model", tag="mvae"):
    """Sizes of an MVAE.

    Attributes:
        hidden: widths of the encoders' hidden layers; the decoders' are the same in reverse.
        latent: size of z.
        cross: c, the factor on λ of a modality that is reconstructed from a subset without it.
        subsets: k, random subsets of a training step beside all modalities and each alone; or `all` subsets.
        free_nats: nats of each latent dimension's KL, averaged over the batch, that cost nothing (Kingma et
            al. 2016).
    """

    hidden: Layers = (512, 256)
    latent: Size = 64
    cross: Weight = 0.0
    subsets: Count | Literal["all"] = 1
    free_nats: Weight = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_modalities(self.modalities, ("z",), contexts=False)
        if any(m.private for m in self.modalities):
            raise ValueError("private of a modality is for private latents, which an mvae has not")


class MVAE(Stateless):
    """A multimodal VAE; see the module's docstring.

    Args:
        modalities: or an `MVAEConfig`.
        options: those of `MVAEConfig`.
    """

    Config = MVAEConfig
    common = ("z",)

    def __init__(self, modalities: Iterable[Modality] | MVAEConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config.modalities)
        self.config = config
        self.sizes = {"z": config.latent}
        hidden, latent = config.hidden, config.latent
        self.encoder, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        for m in self.modalities:
            network, features = encoder_of(m, *hidden)
            self.encoder[m.name] = nn.Sequential(network, nn.Linear(features, 2 * latent))
        for m in self.modalities:
            if m.role == "target":
                self.decoder[m.name] = TargetDecoder(m, latent)
            else:
                self.decoder[m.name] = decoder_of(self, m, latent, *reversed(hidden))
        self.initialise()

    def experts(self, x: Values, mask: Values) -> tuple[Subset, Tensor, Tensor, Tensor]:
        """Experts of the given modalities: names, means and precisions `[…, M, Z]`, presence `[…, M]`.

        Raises:
            UserError: no values, unknown names, or values without a mask.
        """
        check_values(x, mask, self.modalities)
        names = tuple(m.name for m in self.modalities if m.name in x)
        raw = [self.encoder[name](self.encoder_input(name, x[name], mask[name])) for name in names]
        means, precisions = torch.stack(raw, -2).chunk(2, -1)  # […, M, Z] each
        return names, means, precision(precisions), torch.stack([mask[name] for name in names], -1)

    def posterior(self, x: Values, mask: Values) -> dict[str, Gaussian]:
        _, means, precisions, present = self.experts(x, mask)
        return {"z": self.combined(means, precisions, present)}

    def combined(self, means: Tensor, precisions: Tensor, chosen: Tensor) -> Gaussian:
        """The product of the chosen experts and the prior."""
        prior = means.new_zeros(self.config.latent)
        return product(prior, torch.ones_like(prior), means, precisions, chosen)

    def outputs(self, name: str, z: Values) -> Tensor:
        outputs: Tensor = self.decoder[name](z["z"])
        return outputs

    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """The sum of negative ELBOs of all modalities, each alone, and random subsets."""
        batch = self.batch(data)
        x, mask = self.flat(batch.x), batch.available
        names = tuple(m.name for m in self.modalities if m.name in x)
        k = self.config.subsets
        subsets = every_subset(names) if k == "all" else training_subsets(names, k, generator)
        noise = self.noise((len(subsets), batch.size), generator)["z"]
        return self.negative_elbos(x, mask, subsets, noise, beta, self.flat(batch.spread))

    def negative_elbos(
        self,
        x: Values,
        mask: Values,
        subsets: Sequence[Subset],
        noise: Tensor,
        beta: float = 1.0,
        spread: Values = NO_SPREAD,
    ) -> Losses:
        """The sum of the subsets' negative ELBOs.

        All is averaged over the samples with something present, so that a subset which few samples have
        counts little in every batch; see `reweight`. `nll` includes what `cross` adds.

        Args:
            subsets: S subsets, see `training_subsets`.
            noise: `[S, B, Z]` from N(0, 1).
            spread: of targets' labels; see `Batch`.
        """
        names, means, precisions, present = self.experts(x, mask)
        members = [[name in subset for name in names] for subset in subsets]
        chosen = present & torch.tensor(members, device=present.device).unsqueeze(1)  # [S, B, M]
        seen, counted = chosen.any(-1), present.any(-1)  # [S, B], [B]
        q_mean, q_precision = self.combined(means, precisions, chosen)  # [S, B, Z]
        kl = self.kl(q_mean, q_precision, seen, counted)  # [S]
        z = q_mean + noise * torch.rsqrt(q_precision)
        alone = [self.by_name[s[0]].beta if len(s) == 1 else 1.0 for s in subsets]
        total, costs = beta * (kl * kl.new_tensor(alone)).sum(), {}
        for name in names:
            shares = [1.0 if name in subset else self.config.cross for subset in subsets]
            decoded = [s for s, share in enumerate(shares) if share]  # D of the S, in one call
            costs[name] = means.new_zeros(())
            if decoded:
                nats = self.cost(name, x[name], mask[name], {"z": z[decoded]}, spread.get(name))  # [D, B]
                both = seen[decoded] & mask[name]
                own = averaged(nats, both, counted, self.config.reweight, -1)
                costs[name] = (own * own.new_tensor([shares[s] for s in decoded])).sum()
            total = total + self.config.factor(self.by_name[name]) * costs[name]
        return Losses(total, kl.sum(), costs)

    def kl(self, q_mean: Tensor, q_precision: Tensor, seen: Tensor, counted: Tensor) -> Tensor:
        """Mean over B of KL(q ‖ N(0, I)), `[S]`; q `[S, B, Z]`.

        Of each dimension at least `free_nats` for every sample of which something is seen, bool `[S, B]`.
        """
        prior = torch.zeros_like(q_mean).unsqueeze(-1)
        by_latent = kl_divergence(
            q_mean.unsqueeze(-1), q_precision.unsqueeze(-1), prior, torch.ones_like(prior)
        )  # [S, B, Z]
        kl = masked_mean(by_latent, seen.unsqueeze(-1), -2).clamp(min=self.config.free_nats).sum(-1)
        return averaged(kl.unsqueeze(-1).expand_as(seen), seen, counted, self.config.reweight, -1)
