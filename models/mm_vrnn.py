"""MM-VRNN: a variational recurrent network with one Gaussian expert per modality.

The recurrence, prior, posterior and decoders are those of the VRNN (Chung et al. 2015, equations 5 to 9),

    prior       p(z_t | h_{t-1})
    posterior   q(z_t | x_t, h_{t-1}) ∝ p(z_t | h_{t-1}) · Π_m q_m(z_t | x_t^m, h_{t-1})   m present
    decoders    p(x_t^m | z_t, h_{t-1})                                                   all m
    recurrence  h_t = GRU([φ_m(x_t^m) of modalities present, φ_z(z_t)], h_{t-1})

with the posterior a product of experts in which the learned prior takes part (as in Wu & Goodman 2018).
With nothing present the posterior is the prior. The alternative, for comparison, is to concatenate φ_m of
all modalities into one Gaussian, with zeros or a learned token in place of a missing one.

The target has an expert, used in training when its label is shown. It enters the recurrence only through z,
so the model runs live without it.

Encoders (which do not depend on z) and decoders (which follow from z and h) are computed for a whole segment
at once; only the recurrence runs tick by tick.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from .binary import BinaryHead
from .checked import Checked, Size, Weight
from .dynamic_latent import ahead
from .engagement import EngagementHead, Prediction
from .experts import kl_divergence, precision, product
from .likelihoods import mean, nll, width
from .losses import Losses, averaged, masked_mean
from .modality import Modalities, Modality, Role
from .normalised import Normalised

Head = type[EngagementHead] | type[BinaryHead]
HEADS: Final[dict[str, Head]] = {"logit_normal": EngagementHead, "bernoulli": BinaryHead}  # of targets
Values = Mapping[str, Tensor]  # by modality


class MMVRNNConfig(Checked, frozen=True, tag_field="model", tag="mm_vrnn"):
    """Sizes of an MM-VRNN.

    Attributes:
        fusion: posterior as a product of `experts`, or from a concatenation in which a missing modality is
            `zeros` or a learned `token`.
        free_nats: nats of each latent dimension's KL, averaged over a segment, that cost nothing (Kingma et
            al. 2016).
        reweight: average each likelihood over the ticks that have its modality, rather than over all; see
            `losses.averaged`.
    """

    modalities: Modalities
    hidden: Size = 128
    latent: Size = 32
    fusion: Literal["experts", "zeros", "token"] = "experts"
    free_nats: Weight = 0.0
    reweight: bool = False

    def of_role(self, *roles: Role) -> tuple[Modality, ...]:
        return tuple(m for m in self.modalities if m.role in roles)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [m.name for m in self.modalities]
        if len(set(names)) != len(names):
            raise ValueError(f"modalities must have different names, found {names}")
        if len(self.of_role("target")) != 1 or not self.of_role("observed"):
            raise ValueError("modalities must contain one target and at least one observed")
        (target,) = self.of_role("target")
        if target.likelihood not in HEADS or target.dim != 1:
            raise ValueError(
                f"the target must be 1 {' or '.join(HEADS)}, found {target.dim} {target.likelihood}"
            )


class Evidence(NamedTuple):
    """What the inputs of a tick contribute before h_{t-1} is known; K modalities are given."""

    gates: Tensor  # to the GRU's gates, `[…, 3 H]`
    experts: Tensor  # to each expert's mean and raw precision, `[…, K, 2 Z]`
    present: Tensor  # 1 where an expert is present, 0 where not, `[…, K]`


class Latents(NamedTuple):
    """Output of the recurrence: for a segment `[B, T, ·]`, for one tick `[B, ·]`."""

    h: Tensor  # h_{t-1}, the decoders' input, `[…, H]`
    prior_mean: Tensor  # of z_t, as the next three, `[…, Z]`
    prior_precision: Tensor
    mean: Tensor
    precision: Tensor
    z: Tensor  # a sample of the posterior, or its mean
    state: Tensor  # h after the last tick, `[B, H]`


class MMVRNN(Normalised):
    """A multimodal VRNN; see the module's docstring.

    Inputs are dictionaries `{modality: [B, T, D]}` in raw units with masks `{modality: bool [B, T]}`. A
    masked value may be anything, NaN included.
    """

    def __init__(self, config: MMVRNNConfig) -> None:
        super().__init__(config.modalities)
        self.config = config
        hidden, latent = config.hidden, config.latent
        # The order of modalities everywhere, including masks and bundles.
        self.inputs = (*config.of_role("observed"), *config.of_role("context"))
        self.experts = (*self.inputs, *config.of_role("target"))
        self.decoded = config.of_role("observed")
        (self.target,) = config.of_role("target")
        self.phi = nn.ModuleDict(
            {m.name: nn.Sequential(nn.Linear(m.dim, hidden), nn.ReLU()) for m in self.experts}
        )
        # φ_m(x) → its part of the expert's mean and precision.
        self.expert = nn.ModuleDict({m.name: nn.Linear(hidden, 2 * latent) for m in self.experts})
        # φ_m(x) → its part of the GRU's three gates.
        self.gates_x = nn.ModuleDict({m.name: nn.Linear(hidden, 3 * hidden) for m in self.inputs})
        if config.fusion == "token":
            self.token = nn.ParameterDict({m.name: torch.zeros(hidden) for m in self.experts})
        self.phi_z = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU())
        self.gates_z = nn.Linear(hidden, 3 * hidden)
        # h → prior, every expert's part (or that of the one Gaussian), the GRU's gates: one product per tick.
        gaussians = len(self.experts) if config.fusion == "experts" else 1
        self.widths = (2 * latent, 2 * latent * gaussians, 3 * hidden)
        self.from_h = nn.Linear(hidden, sum(self.widths))

        # [φ_z(z), h] → a hidden layer → the parameters of each observed modality's likelihood.
        self.decoder = nn.ModuleDict(
            {
                m.name: nn.Sequential(
                    nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, width(m.likelihood, m.dim))
                )
                for m in self.decoded
            }
        )
        self.head = HEADS[self.target.likelihood](hidden, latent)

    def encode(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """φ_m(x), `[…, H]`."""
        features: Tensor = self.phi[name](self.encoder_input(name, x, mask))
        return features

    def initial_state(self, batch: int) -> Tensor:
        return torch.zeros(batch, self.config.hidden)

    def infer(self, x: Values, mask: Values, state: Tensor, noise: Tensor | None = None) -> Latents:
        """Run the recurrence over a segment.

        Args:
            x, mask: of any modalities; those left out are missing throughout.
            state: `[B, H]`.
            noise: `[B, T, Z]` from N(0, 1) to sample the posterior; None takes its mean.
        """
        evidence = self.evidence(x, mask)
        # Unbound once: indexing [:, t] in the loop would make the backward pass quadratic in T.
        by_tick = zip(*(part.unbind(1) for part in evidence), strict=True)
        draws = [None] * evidence.present.shape[1] if noise is None else noise.unbind(1)
        given, h, steps = self.given(x), state, []
        for parts, draw in zip(by_tick, draws, strict=True):
            *step, h = self.tick(h, Evidence(*parts), given, draw)
            steps.append(step)
        return Latents._make([*(torch.stack(column, 1) for column in zip(*steps, strict=True)), h])

    def given(self, x: Values) -> list[int]:
        """Indices of the experts whose modality is in x."""
        return [i for i, m in enumerate(self.experts) if m.name in x]

    def evidence(self, x: Values, mask: Values) -> Evidence:
        """Everything of one tick or of many that does not depend on h; x `[…, D]`, masks `[…]`."""
        features = {m.name: self.encode(m.name, x[m.name], mask[m.name]) for m in self.experts if m.name in x}
        some = next(iter(mask.values()))
        if self.config.fusion != "experts":
            features = {m.name: self.stand_in(m.name, features, mask, some.shape) for m in self.experts}
            mask = dict.fromkeys(features, torch.ones_like(some))
        names = [m.name for m in self.inputs if m.name in features]
        gates = [self.gates_x[name](features[name]) * mask[name].unsqueeze(-1) for name in names]
        return Evidence(
            sum(gates[1:], gates[0]) if gates else torch.zeros(*some.shape, 3 * self.config.hidden),
            torch.stack([self.expert[name](phi) for name, phi in features.items()], -2),  # […, K, 2 Z]
            torch.stack([mask[name] for name in features], -1).to(self.from_h.weight.dtype),  # […, K]
        )

    def tick(self, h: Tensor, evidence: Evidence, given: list[int], noise: Tensor | None = None) -> Latents:
        """One tick of the recurrence: from h_{t-1} `[B, H]` to z_t and h_t.

        Args:
            given: the experts that `evidence` is of, as `given` returns them.
            noise: `[B, Z]`; None takes the posterior's mean.
        """
        prior, parts, gates_h = self.from_h(h).split(self.widths, -1)  # [B, 2 Z], [B, M · 2 Z], [B, 3 H]
        prior_mean, prior_precision = prior.chunk(2, -1)
        prior_precision = precision(prior_precision)
        if self.config.fusion == "experts":
            by_expert = parts.split(2 * self.config.latent, -1)
            parts = torch.stack([by_expert[i] for i in given], 1)  # [B, K, 2 Z]
            means, raw = (parts + evidence.experts).chunk(2, -1)
            mean, lam = product(prior_mean, prior_precision, means, precision(raw), evidence.present)
        else:
            mean, raw = (parts + evidence.experts.sum(1)).chunk(2, -1)
            lam = precision(raw)
        z = mean if noise is None else mean + noise * torch.rsqrt(lam)
        after = self.advance(evidence.gates, z, gates_h, h)
        return Latents(h, prior_mean, prior_precision, mean, lam, z, after)

    def stand_in(self, name: str, features: Values, mask: Values, shape: torch.Size) -> Tensor:
        """φ_m(x), with zeros or the token where the modality is missing, `[B, T, H]`."""
        nothing = self.token[name] if self.config.fusion == "token" else torch.zeros(self.config.hidden)
        if name not in features:
            return nothing.expand(*shape, -1)
        return torch.where(mask[name].unsqueeze(-1), features[name], nothing)

    def advance(self, gates_x: Tensor, z: Tensor, gates_h: Tensor, h: Tensor) -> Tensor:
        """The GRU (Cho et al. 2014): h_t from the parts of its gates, `[B, 3 H]`."""
        reset_x, update_x, new_x = (gates_x + self.gates_z(self.phi_z(z))).chunk(3, -1)
        reset_h, update_h, new_h = gates_h.chunk(3, -1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        update = torch.sigmoid(update_x + update_h)
        return new + update * (h - new)

    def decode(self, name: str, z: Tensor, h: Tensor) -> Tensor:
        """Parameters of p(x_m | z, h), `[…, width]`."""
        parameters: Tensor = self.decoder[name](torch.cat([self.phi_z(z), h], -1))
        return parameters

    def reconstruct(self, z: Tensor, h: Tensor) -> dict[str, Tensor]:
        """The mean of p(x_m | z, h) of each observed modality, raw units, `[…, D_m]`."""
        means = {m: mean(m.likelihood, self.decode(m.name, z, h)) for m in self.decoded}
        return {m.name: self.in_raw_units(m, value) for m, value in means.items()}

    def surprise(self, name: str, x: Tensor, mask: Tensor, z: Tensor, h: Tensor) -> Tensor:
        """−log p(x_m | z, h), nats, of the normalised x; 0 where masked; `[…]`."""
        (likelihood,) = (m.likelihood for m in self.decoded if m.name == name)
        parameters = self.decode(name, z, h)
        return nll(likelihood, parameters, self.normalised(name, x, mask)) * mask

    def loss(
        self,
        x: Values,
        available: Values,
        fed: Values,
        state: Tensor,
        noise: Tensor,
        beta: float,
    ) -> tuple[Losses, Tensor]:
        """The negative ELBO of a segment, and the state after it.

        A value that is available but not fed is still reconstructed, which teaches prediction across
        modalities. All is averaged over the ticks up to a sequence's last available one, so that no weight
        depends on batch size, length or padding; see `reweight`.

        Args:
            x: raw values by modality.
            available: where there is a value, bool `[B, T]` by modality.
            fed: where the encoders see it; a subset of `available`.
        """
        latents = self.infer(x, fed, state, noise)
        counted = ahead(torch.stack(list(available.values())).any(0))
        kl = self.kl(latents, counted)
        nats = {
            m.name: self.surprise(m.name, x[m.name], available[m.name], latents.z, latents.h)
            for m in self.decoded
        }
        y = self.target.name
        known = torch.where(available[y].unsqueeze(-1), x[y], torch.tensor(0.5))
        nats[y] = self.head.nll(known, latents.z, latents.h)
        reweight = self.config.reweight
        costs = {name: averaged(value, available[name], counted, reweight) for name, value in nats.items()}
        total = beta * kl
        for m in (*self.decoded, self.target):
            total = total + m.factor * costs[m.name]
        return Losses(total, kl, costs), latents.state

    def kl(self, latents: Latents, counted: Tensor) -> Tensor:
        """KL(posterior ‖ prior), nats per tick counted, bool `[B, T]`; per dimension at least `free_nats`."""
        gaussians = (latents.mean, latents.precision, latents.prior_mean, latents.prior_precision)
        if not self.config.free_nats:
            return masked_mean(kl_divergence(*gaussians), counted)
        by_latent = kl_divergence(*(g[counted].unsqueeze(-1) for g in gaussians))  # [N, Z]
        return by_latent.mean(0).clamp(min=self.config.free_nats).sum()

    def predict(self, x: Values, mask: Values, state: Tensor) -> tuple[Prediction, dict[str, Tensor], Tensor]:
        """Filter a segment: the target's predictive distribution `[B, T, 1]` at each tick given everything up
        to it, the surprise `[B, T]` of each observed modality under the prediction made before seeing it, and
        the state after the segment."""
        latents = self.infer(x, mask, state)
        return (*self.predict_from(latents, x, mask), latents.state)

    def predict_from(self, latents: Latents, x: Values, mask: Values) -> tuple[Prediction, dict[str, Tensor]]:
        """The target's predictive distribution and each observed modality's surprise, of known latents."""
        prediction = self.head.predict(latents.mean, 1 / latents.precision, latents.h)
        surprise = {
            m.name: self.surprise(m.name, x[m.name], mask[m.name], latents.prior_mean, latents.h)
            for m in self.decoded
            if m.name in x
        }
        return prediction, surprise
