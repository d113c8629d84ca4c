"""MDVAE: the multimodal dynamical VAE, with static, shared and private dynamic latents.

The latents and their factorisation are those of Sadok, Leglaive, Girin, Alameda-Pineda & Séguier (2023): a
static w, a dynamic latent shared by all modalities, and a private dynamic one for each:

    prior       p(w) = N(0, I),  p(z_t | z_{1:t-1})                       each dynamic latent separately
    decoders    p(x_t^m | w, z_t^shared, z_t^m)                           all m
    posteriors  q(w | x_{1:T}) ∝ p(w) · Π_t e_t(w | x_{t:T})              t at which anything is present
                q(z_t | z_{1:t-1}, x_{t:T}, w) ∝ p(z_t | z_{1:t-1}) · e(z_t | z_{1:t-1}, x_{t:T}, w)

A private posterior takes x^m_{t:T} and z^shared_{t:T} in place of x_{t:T}. The future comes through a
recurrence that runs backwards over the sequence; given z_{1:t-1} and w, the past of the inputs adds nothing.
Each posterior is the prior times a Gaussian expert e. Where nothing is present from t on, e is left out and
the posterior is exactly the prior. In the paper the posteriors are networks without a prior. A target (not in
the paper) has no private latent; its decoder is linear in w and z^shared.

To swap w between sequences, or to move it from one to another over time:

    z = model.encode(data)
    swapped = model.decode(z.swap("w", z.roll(1)))
    between = model.decode(z.interpolate("w", z.roll(1), torch.linspace(0, 1, ticks)))
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .arguments import check_count
from .batch import NO_SPREAD, Batch, Data
from .checked import OptionalSize, Size
from .coders import decoder_of
from .dynamic_latent import DynamicLatent, ahead, backwards
from .experts import kl_divergence, precision, product
from .features import Features
from .latents import Inferred, Latent
from .losses import Losses, averaged
from .modality import Modality, check_modalities
from .model import Model, State
from .model_config import ModelConfig
from .normalised import Values
from .target import TargetDecoder


class MDVAEConfig(ModelConfig, frozen=True, tag_field="model", tag="mdvae"):
    """Sizes of an MDVAE; a static or private size of 0 leaves those latents out.

    Attributes:
        hidden: of the recurrences, and of the layers of encoders and decoders.
        static: size of w; 0 for none.
        shared: size of the shared latent.
        private: size of a private latent, where a modality does not say its own; 0 for none.
    """

    hidden: Size = 128
    static: OptionalSize = 16
    shared: Size = 16
    private: OptionalSize = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_modalities(self.modalities, ("w", "shared"), contexts=False)
        if any(m.role == "target" and m.private for m in self.modalities):
            raise ValueError("a target has no private latent: it is predicted from w and the shared one")

    def sizes(self) -> dict[str, int]:
        """Size by latent, in order: `w`, `shared`, then the private ones under their modality's name."""
        sizes = {"w": self.static, "shared": self.shared}
        for m in self.modalities:
            sizes[m.name] = 0 if m.role == "target" else self.private if m.private is None else m.private
        return {name: size for name, size in sizes.items() if size}


class Evidence(NamedTuple):
    """What the encoders make of sequences, before any latent is drawn."""

    features: dict[str, Tensor]  # φ_m(x) with its flag, `[B, T, F + 1]`
    present: dict[str, Tensor]  # bool `[B, T]`
    w: tuple[Tensor, ...]  # w's experts, mean and precision, `[B, T, S]`; empty without w


class MDVAE(Model):
    """A multimodal dynamical VAE; see the module's docstring.

    Sequences of different length have their ends missing.

    Args:
        modalities: or an `MDVAEConfig`.
        options: those of `MDVAEConfig`.

    The latents are w `[B, S]`, and shared and private ones `[B, T, Z]`.
    """

    Config = MDVAEConfig
    axes, static = 2, ("w",)
    decoder: nn.ModuleDict

    def __init__(self, modalities: Iterable[Modality] | MDVAEConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config.modalities)
        self.config, self.sizes = config, config.sizes()
        hidden = config.hidden
        self.inputs = Features(config.modalities, hidden)
        everything = sum(self.inputs.sizes.values())
        if config.static:
            self.w_ahead = nn.GRU(everything, hidden, batch_first=True)
            self.w_expert = nn.Linear(hidden, 2 * config.static)
        self.shared = DynamicLatent(everything + config.static, config.shared, hidden)
        common = config.static + config.shared
        self.private = nn.ModuleDict(
            {
                m.name: DynamicLatent(self.inputs.sizes[m.name] + common, self.sizes[m.name], hidden)
                for m in config.modalities
                if m.name in self.sizes
            }
        )
        self.decoder = nn.ModuleDict(
            {
                m.name: TargetDecoder(m, common)
                if m.role == "target"
                else decoder_of(self, m, common + self.sizes.get(m.name, 0), hidden)
                for m in config.modalities
            }
        )

    def encoded(self, x: Values, mask: Values) -> Evidence:
        features, present = self.inputs(self.encoder_inputs(x, mask), mask)
        if not self.config.static:
            return Evidence(features, present, ())
        anything = torch.stack(list(present.values())).any(0)
        mean, raw = self.w_expert(backwards(self.w_ahead, joined(features), anything)).chunk(2, -1)
        return Evidence(features, present, (mean, precision(raw)))

    def inferred(self, encoded: Evidence, noise: Values | None, state: State | None = None) -> Inferred:
        """As `Model.inferred`.

        Args:
            state: mean and precision of w, `[B, S]`, given earlier parts of the sequence; otherwise N(0, I).
        """
        features, present, w_experts = encoded
        inputs = joined(features)
        anything = torch.stack(list(present.values())).any(0)
        latents, w = {}, inputs.new_zeros(len(inputs), 0)
        if self.config.static:
            latents["w"] = self.infer_w(w_experts, anything, None if noise is None else noise["w"], state)
            w = latents["w"].sample
        w = w.unsqueeze(1).expand(-1, inputs.shape[1], -1)  # [B, T, S]
        draws = None if noise is None else noise["shared"]
        latents["shared"] = self.shared(torch.cat([inputs, w], -1), anything, draws)
        for name, private in self.private.items():
            seen = torch.cat([features[name], w, latents["shared"].sample], -1)
            latents[name] = private(seen, present[name], None if noise is None else noise[name])
        return Inferred(latents, {})

    def infer_w(
        self, experts: tuple[Tensor, ...], present: Tensor, noise: Tensor | None, prior: State | None
    ) -> Latent:
        """q(w | x_{1:T}): its prior times one expert per tick at which anything is present."""
        mean, lam = experts
        before_mean, before = prior or (torch.zeros_like(mean[:, 0]), torch.ones_like(mean[:, 0]))
        mu, lam = product(before_mean, before, mean, lam, present.to(mean.dtype))
        return Latent(mu, lam, before_mean, before, mu if noise is None else mu + noise * torch.rsqrt(lam))

    def outputs(self, name: str, z: Values) -> Tensor:
        """A decoder's outputs; w is `[…, S]`, or `[…, T, S]` where its estimate changes over time."""
        parts = [z["shared"], z[name]] if name in self.private else [z["shared"]]
        if self.config.static:
            w = z["w"]
            if w.ndim < z["shared"].ndim:
                w = w.unsqueeze(-2).expand(*z["shared"].shape[:-1], -1)
            parts = [w, *parts]
        outputs: Tensor = self.decoder[name](torch.cat(parts, -1))
        return outputs

    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """The negative ELBO per tick of sequences by themselves; see `negative_elbo`."""
        batch = self.batch(data)
        noise = self.noise(next(iter(batch.available.values())).shape, generator)
        x, fed = self.flat(batch.x), fed or batch.available
        return self.negative_elbo(x, batch.available, fed, noise, beta, self.flat(batch.spread))

    def negative_elbo(
        self,
        x: Values,
        available: Values,
        fed: Values,
        noise: Values,
        beta: float = 1.0,
        spread: Values = NO_SPREAD,
    ) -> Losses:
        """The negative ELBO per tick.

        A value that is available but not fed is still reconstructed, which teaches prediction across
        modalities. All is averaged over the ticks up to a sequence's last available one (the KL of w counts
        once per sequence), so that no weight depends on batch size, length or padding; see `reweight`.

        Args:
            x: raw values by modality.
            available: where there is a value, bool `[B, T]` by modality.
            fed: where the encoders see it; a subset of `available`.
            spread: of targets' labels; see `Batch`.
        """
        return self.costs(x, available, self.inferred(self.encoded(x, fed), noise).latents, beta, spread)

    def costs(
        self,
        x: Values,
        available: Values,
        latents: dict[str, Latent],
        beta: float,
        spread: Values = NO_SPREAD,
    ) -> Losses:
        """The negative ELBO per tick, given sampled latents; see `negative_elbo`."""
        z = {name: latent.sample for name, latent in latents.items()}
        by_latent = self.kl(latents, available)
        kl = torch.stack(list(by_latent.values())).sum()
        total = torch.zeros_like(kl)
        for name, nats in by_latent.items():
            total = total + beta * (self.by_name[name].beta if name in self.by_name else 1.0) * nats
        costs = {}
        counted = ahead(torch.stack(list(available.values())).any(0))
        for m in self.modalities:
            if m.name in available:
                nats = self.cost(m.name, x[m.name], available[m.name], z, spread.get(m.name))
                costs[m.name] = averaged(nats, available[m.name], counted, self.config.reweight)
                total = total + self.config.factor(m) * costs[m.name]
        return Losses(total, kl, costs)

    def kl(self, latents: dict[str, Latent], available: Values) -> dict[str, Tensor]:
        """KL(posterior ‖ prior) by latent, nats per tick up to each sequence's last available one."""
        ticks = ahead(torch.stack(list(available.values())).any(0)).sum().clamp(min=1)
        return {name: kl_divergence(*latent[:4]).sum() / ticks for name, latent in latents.items()}

    @torch.no_grad()
    def generate(
        self,
        count: int,
        ticks: int,
        after: Data | Batch | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """New sequences in raw units, `[count, ticks, *shape]` by modality: latents from the prior, x from
        the decoders.

        Args:
            after: N sequences to continue, each `count` times: `[count, N, ticks, *shape]`.
        """
        check_count("count", count)
        check_count("ticks", ticks)
        some = self.modalities[0]
        if after is None:
            x = {some.name: next(self.buffers()).new_zeros(1, 0, some.dim)}
            seen = {some.name: x[some.name].new_zeros(1, 0, dtype=torch.bool)}
        else:
            batch = self.batch(after)
            x, seen = self.flat(batch.x), batch.available
        # Ticks at which nothing is present: there the posterior is the prior, given the latents before.
        x = {k: torch.cat([v, v.new_zeros(len(v), ticks, v.shape[-1])], 1) for k, v in x.items()}
        seen = {k: torch.cat([v, v.new_zeros(len(v), ticks)], 1) for k, v in seen.items()}
        noise = self.noise(next(iter(seen.values())).shape, generator, count)
        z = self.drawn(self.encoded(x, seen), noise).z
        z = {k: v if k in self.static else v[:, :, -ticks:] for k, v in z.items()}
        sequences = self.draw(z, generator=generator)
        return {k: v.squeeze(1) for k, v in sequences.items()} if after is None else sequences


def joined(features: Values) -> Tensor:
    """The features of all modalities, `[B, T, I]`."""
    return torch.cat(list(features.values()), -1)
