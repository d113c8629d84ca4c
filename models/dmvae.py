"""DMVAE: one latent shared by all modalities, one private latent each (Lee & Pavlovic 2021).

    prior      p(z_s) = N(0, I),  p(z_m) = N(0, I)                      every modality m
    posterior  q(z_s | X) ∝ p(z_s) · Π_m q_m(z_s | x_m)   m in X, of several,   q(z_m | x_m)
               q(z_s | x_m) = q_m(z_s | x_m)              of one alone
    decoders   p(x_m | z_s, z_m)
    ELBO(X)    Σ_m [E λ_m log p(x_m | z_s, z_m) − β γ β_m KL(q(z_m | x_m) ‖ p)] − β KL(q(z_s | X) ‖ p)
    loss       −ELBO(all) − Σ_j ELBO(x_j)

Every ELBO reconstructs all modalities, each with its own private latent: jointly, with z_s from the product
of experts, and across, with z_s from one modality alone, so that information that other modalities need
cannot stay in a private latent. A sample counts for ELBO(x_j) where x_j is present. The private posterior of
a missing modality is the prior. With `prior_expert = "always"`, which is not in the paper, the prior is an
expert of q(z_s | x_m) as well.

The paper has β = γ = β_m = 1. Here γ may raise the cost of a private nat: a private latent can encode all of
its modality, and if it learns to do so first, z_s stays empty. A large γ at the start prevents that.

A target (not in the paper) has no private latent; its decoder is linear in z_s.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .arguments import check_values
from .batch import NO_SPREAD, Batch, Data
from .checked import Layers, OptionalSize, Size, Weight
from .coders import decoder_of, encoder_of
from .experts import kl_divergence, precision, product
from .losses import Losses, averaged
from .modality import Modality, check_modalities
from .model import State
from .model_config import ModelConfig
from .normalised import Values
from .stateless import Gaussian, Stateless
from .subsets import Subset
from .target import TargetDecoder


class DMVAEConfig(ModelConfig, frozen=True, tag_field="model", tag="dmvae"):
    """Sizes of a DMVAE.

    Attributes:
        shared: size of the shared latent.
        private: size of a private latent, where a modality does not say its own; 0 for none.
        hidden: widths of the encoders' hidden layers; the decoders' are the same in reverse.
        gamma: γ, the cost of a private nat relative to a shared one.
        prior_expert: whether the prior is an expert of q(z_s | X) only where X has several modalities, or
            always.
    """

    shared: Size = 16
    private: OptionalSize = 8
    hidden: Layers = (512, 256)
    gamma: Weight = 1.0
    prior_expert: Literal["several", "always"] = "several"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_modalities(self.modalities, ("shared",), contexts=False)
        if any(m.role == "target" and m.private for m in self.modalities):
            raise ValueError("a target has no private latent: it is predicted from the shared one")

    def sizes(self) -> dict[str, int]:
        """Size by latent, in order: `shared`, then the private ones under their modality's name."""
        sizes = {"shared": self.shared}
        for m in self.modalities:
            sizes[m.name] = 0 if m.role == "target" else self.private if m.private is None else m.private
        return {name: size for name, size in sizes.items() if size}


class DMVAE(Stateless):
    """A private-shared multimodal VAE; see the module's docstring.

    Args:
        modalities: or a `DMVAEConfig`.
        options: those of `DMVAEConfig`.

    Attributes:
        gamma: γ, which may be changed between steps.
    """

    Config = DMVAEConfig
    common = ("shared",)

    def __init__(self, modalities: Iterable[Modality] | DMVAEConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config.modalities)
        self.config, self.sizes, self.gamma = config, config.sizes(), config.gamma
        self.encoder, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        for m in self.modalities:
            both = config.shared + self.sizes.get(m.name, 0)
            network, features = encoder_of(m, *config.hidden)
            self.encoder[m.name] = nn.Sequential(network, nn.Linear(features, 2 * both))
            if m.role == "target":
                self.decoder[m.name] = TargetDecoder(m, both)
            else:
                self.decoder[m.name] = decoder_of(self, m, both, *reversed(config.hidden))
        self.initialise()

    def experts(self, x: Values, mask: Values) -> dict[str, Gaussian]:
        """Experts of the given modalities: mean and precision `[…, S + P_m]`, of z_s, then of z_m.

        Raises:
            UserError: no values, unknown names, or values without a mask.
        """
        check_values(x, mask, self.modalities)
        experts = {}
        for m in self.modalities:
            if m.name in x:
                value = self.encoder_input(m.name, x[m.name], mask[m.name])
                means, raw = self.encoder[m.name](value).chunk(2, -1)
                experts[m.name] = means, precision(raw)
        return experts

    def chosen(self, mask: Values, names: Iterable[str], sources: Sequence[Subset]) -> Tensor:
        """Where each of the named modalities is present and in a source, bool `[E, …, M]`."""
        return torch.stack([torch.stack([mask[n] & (n in s) for n in names], -1) for s in sources])

    def shared_posterior(self, experts: Mapping[str, Gaussian], mask: Values, source: Subset) -> Gaussian:
        """q(z_s | the modalities of `source` that are present), `[…, S]`."""
        return self.combined(experts, self.chosen(mask, [*experts], [source])[0])

    def combined(self, experts: Mapping[str, Gaussian], chosen: Tensor) -> Gaussian:
        """The product of the chosen experts, and of the prior as `prior_expert` says; chosen `[…, M]`."""
        size = self.config.shared
        means = torch.stack([mean[..., :size] for mean, _ in experts.values()], -2)  # […, M, S]
        precisions = torch.stack([lam[..., :size] for _, lam in experts.values()], -2)
        prior_precision = means.new_ones(1)
        if self.config.prior_expert == "several":
            prior_precision = torch.where(chosen.sum(-1, keepdim=True) == 1, 0.0, prior_precision)
        return product(means.new_zeros(size), prior_precision, means, precisions, chosen)

    def private_posteriors(self, experts: Mapping[str, Gaussian], mask: Values) -> dict[str, Gaussian]:
        """q(z_m | x_m) by modality, `[…, P_m]`; the prior where it is missing."""
        size, private = self.config.shared, {}
        leading = next(iter(experts.values()))[0].shape[:-1]
        for name in [name for name in self.sizes if name != "shared"]:
            mean = next(self.buffers()).new_zeros(*leading, self.sizes[name])
            lam = torch.ones_like(mean)
            if name in experts:
                seen = mask[name].unsqueeze(-1)
                own_mean, own_lam = (part[..., size:] for part in experts[name])
                mean, lam = torch.where(seen, own_mean, mean), torch.where(seen, own_lam, lam)
            private[name] = mean, lam
        return private

    def posterior(self, x: Values, mask: Values) -> dict[str, Gaussian]:
        experts = self.experts(x, mask)
        shared = self.shared_posterior(experts, mask, tuple(experts))
        return {"shared": shared} | self.private_posteriors(experts, mask)

    def outputs(self, name: str, z: Values) -> Tensor:
        parts = [z["shared"], z[name]] if name in self.sizes else [z["shared"]]
        outputs: Tensor = self.decoder[name](torch.cat(parts, -1))
        return outputs

    def sources(self, names: Subset) -> list[Subset]:
        """Those of the ELBOs: all modalities, and each alone."""
        return [names] if len(names) == 1 else [names, *((name,) for name in names)]

    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """The sum of the joint and cross negative ELBOs; see `negative_elbos`."""
        batch = self.batch(data)
        sources = self.sources(tuple(m.name for m in self.modalities if m.name in batch.x))
        noise = self.noise((len(sources), batch.size), generator)
        x, spread = self.flat(batch.x), self.flat(batch.spread)
        return self.negative_elbos(x, batch.available, sources, noise, beta, spread)

    def negative_elbos(
        self,
        x: Values,
        mask: Values,
        sources: Sequence[Subset],
        noise: Values,
        beta: float = 1.0,
        spread: Values = NO_SPREAD,
    ) -> Losses:
        """The sum of the negative ELBOs with z_s from each source.

        All is averaged over the samples with something present, so that a source which few samples have
        counts little in every batch; see `reweight`.

        Args:
            sources: E subsets of the modalities given.
            noise: by latent, `[E, B, Z]` from N(0, 1).
            spread: of targets' labels; see `Batch`.
        """
        experts = self.experts(x, mask)
        private = self.private_posteriors(experts, mask)
        chosen = self.chosen(mask, [*experts], sources)  # [E, B, M]
        posterior = {"shared": self.combined(experts, chosen)} | private  # [E, B, S], [B, P_m]
        seen = chosen.any(-1)  # [E, B]
        counted = torch.stack([mask[name] for name in experts]).any(0)  # [B]
        reweight = self.config.reweight
        total = kl = next(self.buffers()).new_zeros(())
        z = {}
        for name, (mean, lam) in posterior.items():
            z[name] = mean + noise[name] * torch.rsqrt(lam)  # [E, B, ·]
            nats = kl_divergence(mean, lam, torch.zeros_like(mean), torch.ones_like(lam))
            there, factor = seen, 1.0
            if name != "shared":
                there = seen & mask.get(name, torch.zeros_like(seen))
                factor = self.gamma * self.by_name[name].beta
            own = averaged(nats, there, counted, reweight, -1).sum()
            kl, total = kl + own, total + beta * factor * own
        costs = {}
        for name in experts:
            both = seen & mask[name]
            nats = self.cost(name, x[name], mask[name], z, spread.get(name))  # [E, B]
            costs[name] = averaged(nats, both, counted, reweight, -1).sum()
            total = total + self.config.factor(self.by_name[name]) * costs[name]
        return Losses(total, kl, costs)
