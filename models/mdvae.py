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

To swap w between sequences, or interpolate the shared latent:

    z = {name: latent.sample for name, latent in model.encode(x, mask).items()}
    swapped = model.decode({**z, "w": z["w"].roll(1, 0)})
    between = model.decode({**z, "shared": torch.lerp(z["shared"], z["shared"].roll(1, 0), 0.5)})
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .checked import Checked, OptionalSize, Size
from .dynamic_latent import DynamicLatent, Latent, ahead, backwards
from .experts import kl_divergence, precision, product
from .likelihoods import mean, nll, width
from .losses import Losses, averaged
from .mlp import mlp
from .modality import Modalities, Modality, check_target
from .normalised import Normalised


class MDVAEConfig(Checked, frozen=True, tag_field="model", tag="mdvae"):
    """Sizes of an MDVAE; a static or private size of 0 leaves those latents out.

    Attributes:
        reweight: average each likelihood over the ticks that have its modality, rather than over all; see
            `losses.averaged`.
    """

    modalities: Modalities
    hidden: Size = 128
    static: OptionalSize = 16
    shared: Size = 16
    private: OptionalSize = 8
    reweight: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [m.name for m in self.modalities]
        if len({*names, "w", "shared"}) != len(names) + 2:
            raise ValueError(f"modalities must have different names, none of them w or shared, found {names}")
        if roles := {m.name: m.role for m in self.modalities if m.role == "context"}:
            raise ValueError(f"an mdvae's modalities must be observed, or one the target, found {roles}")
        check_target(self.modalities)

    def sizes(self) -> dict[str, int]:
        """Size by latent, in order: `w`, `shared`, then the private ones under their modality's name."""
        private = {m.name: self.private for m in self.modalities if m.role == "observed"}
        sizes = {"w": self.static, "shared": self.shared} | private
        return {name: size for name, size in sizes.items() if size}


class Inputs(Normalised):
    """The recurrences' inputs: each modality's features and a presence flag, zeros where masked."""

    def __init__(self, modalities: tuple[Modality, ...], hidden: int) -> None:
        super().__init__(modalities)
        self.modalities = modalities
        self.phi = nn.ModuleDict(
            {m.name: nn.Sequential(nn.Linear(m.dim, hidden), nn.ReLU()) for m in modalities}
        )

    def forward(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """φ_m(x) with its flag `[B, T, H + 1]`, and presence, bool `[B, T]`, by modality in order."""
        some = next(iter(mask.values()))
        features, present = {}, {}
        for m in self.modalities:
            seen = mask.get(m.name, torch.zeros_like(some))
            values = x.get(m.name, torch.zeros(*some.shape, m.dim))
            flag = seen.unsqueeze(-1).to(values.dtype)
            phi = self.phi[m.name](self.encoder_input(m.name, values, seen))
            features[m.name], present[m.name] = torch.cat([phi * flag, flag], -1), seen
        return features, present


class MDVAE(nn.Module):
    """A multimodal dynamical VAE; see the module's docstring.

    Inputs are dictionaries `{modality: [B, T, D]}` in raw units with masks `{modality: bool [B, T]}`. A
    masked value may be anything, NaN included. A modality left out is masked throughout. Sequences of
    different length have their ends masked.
    """

    def __init__(self, config: MDVAEConfig) -> None:
        super().__init__()
        self.config, self.sizes = config, config.sizes()
        hidden, one = config.hidden, config.hidden + 1
        everything = one * len(config.modalities)
        self.inputs = Inputs(config.modalities, hidden)
        if config.static:
            self.w_ahead = nn.GRU(everything, hidden, batch_first=True)
            self.w_expert = nn.Linear(hidden, 2 * config.static)
        self.shared = DynamicLatent(everything + config.static, config.shared, hidden)
        self.private = nn.ModuleDict(
            {
                m.name: DynamicLatent(one + config.static + config.shared, config.private, hidden)
                for m in config.modalities
                if m.name in self.sizes
            }
        )
        common = config.static + config.shared
        self.decoder = nn.ModuleDict(
            {
                m.name: mlp(common + config.private, hidden, width(m.likelihood, m.dim))
                if m.role == "observed"
                else mlp(common, width(m.likelihood, m.dim))
                for m in config.modalities
            }
        )

    def normalise(self, name: str, center: Tensor, scale: Tensor) -> None:
        """Set a modality's mean and standard deviation, `[D]`, in raw units."""
        self.inputs.normalise(name, center, scale)

    def noise(self, batch: int, ticks: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draws from N(0, 1) by latent: `[B, S]` for w, `[B, T, Z]` for the others."""
        return {
            name: torch.randn((batch, size) if name == "w" else (batch, ticks, size), generator=generator)
            for name, size in self.sizes.items()
        }

    def encode(
        self,
        x: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        noise: Mapping[str, Tensor] | None = None,
        w_prior: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Latent]:
        """The posterior of each latent, sampled with `noise`, or at its mean without.

        Args:
            w_prior: mean and precision of w, `[B, S]`, given earlier parts of the sequence; otherwise N(0,
                I).
        """
        features, present = self.inputs(x, mask)
        inputs = torch.cat(list(features.values()), -1)  # [B, T, M (H + 1)]
        anything = torch.stack(list(present.values())).any(0)
        latents = {}
        w = torch.zeros(inputs.shape[0], 0)
        if self.config.static:
            latents["w"] = self.encode_w(inputs, anything, None if noise is None else noise["w"], w_prior)
            w = latents["w"].sample
        w = w.unsqueeze(1).expand(-1, inputs.shape[1], -1)  # [B, T, S]
        draws = None if noise is None else noise["shared"]
        latents["shared"] = self.shared(torch.cat([inputs, w], -1), anything, draws)
        for name, private in self.private.items():
            seen = torch.cat([features[name], w, latents["shared"].sample], -1)
            latents[name] = private(seen, present[name], None if noise is None else noise[name])
        return latents

    def encode_w(
        self, inputs: Tensor, present: Tensor, noise: Tensor | None, prior: tuple[Tensor, Tensor] | None
    ) -> Latent:
        """q(w | x_{1:T}): its prior times one expert per tick at which anything is present."""
        mu, raw = self.w_expert(backwards(self.w_ahead, inputs, present)).chunk(2, -1)  # [B, T, S]
        before = prior or (torch.zeros_like(mu[:, 0]), torch.ones_like(mu[:, 0]))
        mu, lam = product(*before, mu, precision(raw), present.to(mu.dtype))
        return Latent(mu, lam, *before, mu if noise is None else mu + noise * torch.rsqrt(lam))

    def generate(self, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Samples of the prior: the posterior with nothing present."""
        some = self.config.modalities[0].name
        nothing = torch.zeros(noise["shared"].shape[:2], dtype=torch.bool)
        return {name: latent.sample for name, latent in self.encode({}, {some: nothing}, noise).items()}

    def parameters_of(self, name: str, z: Mapping[str, Tensor]) -> Tensor:
        """Parameters of p(x^m | w, z^shared, z^m), normalised, `[B, T, width]`; w is `[B, S]`, or `[B, T, S]`
        where its estimate changes over time."""
        parts = [z["shared"], z[name]] if name in self.private else [z["shared"]]
        if self.config.static:
            w = z["w"]
            if w.ndim < z["shared"].ndim:
                w = w.unsqueeze(1).expand(-1, z["shared"].shape[1], -1)
            parts = [w, *parts]
        parameters: Tensor = self.decoder[name](torch.cat(parts, -1))
        return parameters

    def decode(self, z: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean of each modality, `[B, T, D]` in raw units, given latents by name."""
        return {
            m.name: self.inputs.in_raw_units(m, mean(m.likelihood, self.parameters_of(m.name, z)))
            for m in self.config.modalities
        }

    def loss(
        self,
        x: Mapping[str, Tensor],
        available: Mapping[str, Tensor],
        fed: Mapping[str, Tensor],
        noise: Mapping[str, Tensor],
        beta: float,
    ) -> Losses:
        """The negative ELBO per tick.

        A value that is available but not fed is still reconstructed, which teaches prediction across
        modalities. All is averaged over the ticks up to a sequence's last available one (the KL of w counts
        once per sequence), so that no weight depends on batch size, length or padding; see `reweight`.

        Args:
            x: raw values by modality.
            available: where there is a value, bool `[B, T]` by modality.
            fed: where the encoders see it; a subset of `available`.
        """
        return self.costs(x, available, self.encode(x, fed, noise), beta)

    def costs(
        self,
        x: Mapping[str, Tensor],
        available: Mapping[str, Tensor],
        latents: Mapping[str, Latent],
        beta: float,
    ) -> Losses:
        """The negative ELBO per tick, given sampled latents; see `loss`."""
        z = {name: latent.sample for name, latent in latents.items()}
        kl = torch.stack(list(self.kl(latents, available).values())).sum()
        total, costs = beta * kl, {}
        counted = ahead(torch.stack(list(available.values())).any(0))
        for m in self.config.modalities:
            if m.name not in available:
                continue
            seen = available[m.name]
            cost = nll(
                m.likelihood, self.parameters_of(m.name, z), self.inputs.normalised(m.name, x[m.name], seen)
            )
            costs[m.name] = averaged(cost, seen, counted, self.config.reweight)
            total = total + m.factor * costs[m.name]
        return Losses(total, kl, costs)

    def kl(self, latents: Mapping[str, Latent], available: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """KL(posterior ‖ prior) by latent, nats per tick up to each sequence's last available one."""
        ticks = ahead(torch.stack(list(available.values())).any(0)).sum().clamp(min=1)
        return {name: kl_divergence(*latent[:4]).sum() / ticks for name, latent in latents.items()}
