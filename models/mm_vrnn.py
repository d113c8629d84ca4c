"""MM-VRNN: a variational recurrent network with one Gaussian expert per modality.

The recurrence, prior, posterior and decoders are those of the VRNN (Chung et al. 2015, equations 5 to 9),

    prior       p(z_t | h_{t-1})
    posterior   q(z_t | x_t, h_{t-1}) ∝ p(z_t | h_{t-1}) · Π_m q_m(z_t | x_t^m, h_{t-1})   m present
    decoders    p(x_t^m | z_t, h_{t-1})                                                   all m
    recurrence  h_t = GRU([φ_m(x_t^m) of modalities present, φ_z(z_t)], h_{t-1})

with the posterior a product of experts in which the learned prior takes part (as in Wu & Goodman 2018).
With nothing present the posterior is the prior. The alternative, for comparison, is to concatenate φ_m of
all modalities into one Gaussian, with zeros or a learned token in place of a missing one.

A target has an expert, used in training when its label is shown. It enters the recurrence only through z,
so the model runs live without it.

Encoders (which do not depend on z) and decoders (which follow from z and h) are computed for a whole segment
at once; only the recurrence runs tick by tick.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from .arguments import check_count
from .batch import NO_SPREAD, Batch, Data
from .causal import Causal, Filtered
from .checked import Size, Weight
from .coders import decoder_of, encoder_of
from .dynamic_latent import ahead
from .experts import kl_divergence, precision, product
from .latents import Inferred, Latent, repeated
from .losses import Losses, averaged
from .modality import Modality, check_modalities
from .model import State
from .model_config import ModelConfig
from .normalised import Values
from .recurrence import Recur, loop
from .target import TargetDecoder


class MMVRNNConfig(ModelConfig, frozen=True, tag_field="model", tag="mm_vrnn"):
    """Sizes of an MM-VRNN.

    Attributes:
        hidden: of the recurrence, and of the layers of encoders and decoders.
        latent: size of z.
        fusion: posterior as a product of `experts`, or from a concatenation in which a missing modality is
            `zeros` or a learned `token`.
        free_nats: nats of each latent dimension's KL, averaged over a segment, that cost nothing (Kingma et
            al. 2016).
    """

    hidden: Size = 128
    latent: Size = 32
    fusion: Literal["experts", "zeros", "token"] = "experts"
    free_nats: Weight = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_modalities(self.modalities, ("z", "h"))
        if any(m.beta != 1 or m.private for m in self.modalities):
            raise ValueError(
                "beta and private of a modality are for private latents, which an mm_vrnn has not"
            )


class Evidence(NamedTuple):
    """What the inputs of a tick contribute before h_{t-1} is known; K modalities are given."""

    gates: Tensor  # to the GRU's gates, `[…, 3 H]`
    experts: Tensor  # to each expert's mean and raw precision, `[…, K, 2 Z]`; concatenated, `[…, 1, 2 Z]`
    present: Tensor  # 1 where an expert is present, 0 where not, `[…, K]`


class MMVRNN(Causal):
    """A multimodal VRNN; see the module's docstring.

    Args:
        modalities: or an `MMVRNNConfig`.
        options: those of `MMVRNNConfig`.

    The latents are z `[B, T, Z]`; decoders also take h, `[B, T, H]`, of the tick before.
    """

    Config = MMVRNNConfig
    axes = 2
    states: tuple[str, ...] = ("h",)

    def __init__(self, modalities: Iterable[Modality] | MMVRNNConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config.modalities)
        self.config, self.sizes = config, {"z": config.latent}
        hidden, latent = config.hidden, config.latent
        self.inputs = (*self.observed, *self.contexts)
        self.experts = (*self.inputs, *self.targets)
        self.phi, self.features = nn.ModuleDict(), {}
        for m in self.experts:
            self.phi[m.name], self.features[m.name] = self.encoder(m, hidden)
        # φ_m(x) → its part of the expert's mean and precision.
        self.expert = nn.ModuleDict(
            {m.name: nn.Linear(self.features[m.name], 2 * latent) for m in self.experts}
        )
        # φ_m(x) → its part of the GRU's three gates.
        self.gates_x = nn.ModuleDict(
            {m.name: nn.Linear(self.features[m.name], 3 * hidden) for m in self.inputs}
        )
        if config.fusion == "token":
            self.token = nn.ParameterDict({m.name: torch.zeros(self.features[m.name]) for m in self.experts})
        self.phi_z = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU())
        self.gates_z = nn.Linear(hidden, 3 * hidden)
        # h → prior, every expert's part (or that of the one Gaussian), the GRU's gates: one product per tick.
        gaussians = len(self.experts) if config.fusion == "experts" else 1
        self.widths = (2 * latent, 2 * latent * gaussians, 3 * hidden)
        self.from_h = nn.Linear(hidden, sum(self.widths))
        # [φ_z(z), h] → the likelihood of each observed modality; z and h → that of a target.
        self.decoder = nn.ModuleDict({m.name: decoder_of(self, m, 2 * hidden, hidden) for m in self.observed})
        for m in self.targets:
            self.decoder[m.name] = TargetDecoder(m, latent, hidden)

    @property
    def decoded_from(self) -> dict[str, int]:
        """z, and h of the tick before."""
        return self.sizes | {"h": self.config.hidden}

    def encoder(self, m: Modality, hidden: int) -> tuple[nn.Module, int]:
        """φ of a modality, and the number of its features."""
        return encoder_of(m, hidden)

    def initial_state(self, batch: int) -> State:
        """h before the first tick, `[B, H]`."""
        check_count("batch", batch, least=0)
        return (self.from_h.weight.new_zeros(batch, self.config.hidden),)

    def encoded(self, x: Values, mask: Values) -> tuple[Evidence, list[int]]:
        return self.evidence(x, mask), self.given(x)

    def given(self, x: Values) -> list[int]:
        """Indices of the experts whose modality is in x."""
        return [i for i, m in enumerate(self.experts) if m.name in x]

    def evidence(self, x: Values, mask: Values) -> Evidence:
        """Everything of one tick or of many that does not depend on h; x `[…, D]`, masks `[…]`."""
        return self.evidence_of(self.encoder_inputs(x, mask), mask)

    def evidence_of(self, values: Values, mask: Values) -> Evidence:
        """The same from what the encoders see of each modality given, `[…, F]`."""
        features = {m.name: self.phi[m.name](values[m.name]) for m in self.experts if m.name in values}
        some = next(iter(mask.values()))
        if self.config.fusion != "experts":
            features = {m.name: self.stand_in(m.name, features, mask, some.shape) for m in self.experts}
            mask = dict.fromkeys(features, torch.ones_like(some))
        names = [m.name for m in self.inputs if m.name in features]
        gates = [self.gates_x[name](features[name]) * mask[name].unsqueeze(-1) for name in names]
        nothing = self.from_h.weight.new_zeros(*some.shape, 3 * self.config.hidden)
        experts = torch.stack([self.expert[name](phi) for name, phi in features.items()], -2)  # […, K, 2 Z]
        if self.config.fusion != "experts":
            experts = experts.sum(-2, keepdim=True)
        return Evidence(
            sum(gates[1:], gates[0]) if gates else nothing,
            experts,
            torch.stack([mask[name] for name in features], -1).to(nothing.dtype),  # […, K]
        )

    def stand_in(self, name: str, features: Values, mask: Values, shape: torch.Size) -> Tensor:
        """φ_m(x), with zeros or the token where the modality is missing, `[…, F]`."""
        zeros = self.from_h.weight.new_zeros(self.features[name])
        nothing = self.token[name] if self.config.fusion == "token" else zeros
        if name not in features:
            return nothing.expand(*shape, -1)
        return torch.where(mask[name].unsqueeze(-1), features[name], nothing)

    def latent(
        self, prior: Tensor, parts: Tensor, evidence: Evidence, given: list[int], noise: Tensor | None
    ) -> Latent:
        """z_t, `[B, Z]`.

        Args:
            prior, parts: of h_{t-1}, `[B, 2 Z]` and `[B, M · 2 Z]`.
            given: the experts that `evidence` is of, as `given` returns them.
            noise: `[B, Z]`; None takes the posterior's mean.
        """
        prior_mean, prior_precision = prior.chunk(2, -1)
        prior_precision = precision(prior_precision)
        if self.config.fusion == "experts":
            by_expert = parts.split(2 * self.config.latent, -1)
            parts = torch.stack([by_expert[i] for i in given], 1)  # [B, K, 2 Z]
            means, raw = (parts + evidence.experts).chunk(2, -1)
            mean, lam = product(prior_mean, prior_precision, means, precision(raw), evidence.present)
        else:
            mean, raw = (parts + evidence.experts.squeeze(1)).chunk(2, -1)
            lam = precision(raw)
        z = mean if noise is None else mean + noise * torch.rsqrt(lam)
        return Latent(mean, lam, prior_mean, prior_precision, z)

    def inferred(
        self,
        encoded: tuple[Evidence, list[int]],
        noise: Values | None,
        state: State | None = None,
        recur: Recur | None = None,
    ) -> Inferred:
        evidence, given = encoded
        (start,) = self.started(() if state is None else state, evidence.gates.shape[0])
        return self.recurred(evidence, given, start, noise, recur)

    def recurred(
        self, evidence: Evidence, given: list[int], h: Tensor, noise: Values | None, recur: Recur | None
    ) -> Inferred:
        """The latents of a segment after h, `[B, H]`."""
        inputs = [*evidence] if noise is None else [*evidence, noise["z"]]

        def tick(h: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            gates, experts, present, *draw = inputs
            prior, parts, gates_h = self.from_h(h).split(self.widths, -1)
            known = Evidence(gates, experts, present)
            latent = self.latent(prior, parts, known, given, draw[0] if draw else None)
            return self.advance(gates, latent.sample, gates_h, h), [h, *latent]

        after, (before, *latent) = (recur or loop)(tick, h, inputs)
        return Inferred({"z": Latent(*latent)}, {"h": before}, (after,))

    def advance(self, gates_x: Tensor, z: Tensor, gates_h: Tensor, h: Tensor) -> Tensor:
        """The GRU (Cho et al. 2014): h_t from the parts of its gates, `[B, 3 H]`."""
        reset_x, update_x, new_x = (gates_x + self.gates_z(self.phi_z(z))).chunk(3, -1)
        reset_h, update_h, new_h = gates_h.chunk(3, -1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        update = torch.sigmoid(update_x + update_h)
        return new + update * (h - new)

    def outputs(self, name: str, z: Values) -> Tensor:
        if self.by_name[name].role == "target":
            outputs: Tensor = self.decoder[name](z["z"], z["h"])
        else:
            outputs = self.decoder[name](torch.cat([self.phi_z(z["z"]), z["h"]], -1))
        return outputs

    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """The negative ELBO of a segment; see `negative_elbo`."""
        batch = self.batch(data)
        noise = self.noise(next(iter(batch.available.values())).shape, generator)
        x = self.flat(batch.x)
        fed = fed or batch.available
        return self.negative_elbo(x, batch.available, fed, state, noise, beta, self.flat(batch.spread))

    def negative_elbo(
        self,
        x: Values,
        available: Values,
        fed: Values,
        state: State,
        noise: Values,
        beta: float = 1.0,
        spread: Values = NO_SPREAD,
    ) -> Losses:
        """The negative ELBO of a segment, and the state after it.

        A value that is available but not fed is still reconstructed, which teaches prediction across
        modalities. All is averaged over the ticks up to a sequence's last available one, so that no weight
        depends on batch size, length or padding; see `reweight`.

        Args:
            x: raw values by modality.
            available: where there is a value, bool `[B, T]` by modality.
            fed: where the encoders see it; a subset of `available`.
            noise: `[B, T, Z]` of z.
            spread: of targets' labels; see `Batch`.
        """
        inferred = self.inferred(self.encoded(x, fed), noise, state)
        counted = ahead(torch.stack(list(available.values())).any(0))
        kl = self.kl(inferred.latents["z"], counted)
        total, costs = beta * kl, {}
        for m in (*self.observed, *self.targets):
            if m.name in available:
                nats = self.cost(m.name, x[m.name], available[m.name], inferred.z, spread.get(m.name))
                costs[m.name] = averaged(nats, available[m.name], counted, self.config.reweight)
                total = total + self.config.factor(m) * costs[m.name]
        return Losses(total, kl, costs, inferred.state)

    def kl(self, z: Latent, counted: Tensor) -> Tensor:
        """KL(posterior ‖ prior), nats per tick counted, bool `[B, T]`; per dimension at least `free_nats`."""
        number = counted.sum().clamp(min=1)
        if not self.config.free_nats:
            return torch.where(counted, kl_divergence(*z[:4]), 0.0).sum() / number
        by_latent = kl_divergence(*(part.unsqueeze(-1) for part in z[:4]))  # [B, T, Z]
        means = torch.where(counted.unsqueeze(-1), by_latent, 0.0).sum((0, 1)) / number
        return means.clamp(min=self.config.free_nats).sum()

    def filter(self, data: Data | Batch, state: State = (), recur: Recur | None = None) -> Filtered:
        """Every target at each tick, given everything up to it.

        Args:
            state: of the ticks before; () at the start.
        """
        batch = self.batch(data)
        x, mask = self.flat(batch.x), batch.available
        inferred = self.inferred(self.encoded(x, mask), None, state, recur)
        z, h = inferred.latents["z"], inferred.context["h"]
        before = {"z": z.prior_mean, "h": h}
        return Filtered(
            {m.name: self.predict(m, z.mean, 1 / z.precision, h) for m in self.targets},
            z.mean,
            torch.rsqrt(z.precision),
            {
                m.name: self.cost(m.name, x[m.name], mask[m.name], before)
                for m in self.observed
                if m.name in x
            },
            inferred.state,
            inferred.context,
        )

    @torch.no_grad()
    def generate(
        self,
        count: int,
        ticks: int,
        after: Data | Batch | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """New sequences in raw units, `[count, ticks, *shape]` by modality, by ancestral sampling: each tick
        draws z from the prior and x from the decoders, and both enter the recurrence. Contexts are missing.

        Args:
            after: N sequences to continue, each `count` times: `[count, N, ticks, *shape]`.
        """
        check_count("count", count)
        check_count("ticks", ticks)
        if after is None:
            state = self.initial_state(count)
        else:
            batch = self.batch(after)
            shape = next(iter(batch.available.values())).shape
            encoded = repeated(self.encoded(self.flat(batch.x), batch.available), count)
            noise = self.noise((count * shape[0], shape[1]), generator)
            state = self.inferred(encoded, noise).state
        here = torch.ones(len(state[0]), dtype=torch.bool, device=state[0].device)
        columns: list[dict[str, Tensor]] = []
        for _ in range(ticks):
            h = state[0]
            prior, _, gates_h = self.from_h(h).split(self.widths, -1)
            mean, raw = prior.chunk(2, -1)
            z = mean + self.noise((len(h),), generator)["z"] * torch.rsqrt(precision(raw))
            drawn = self.draw({"z": z, "h": h}, generator=generator)
            columns.append(drawn)
            seen = {m.name: drawn[m.name].flatten(1) for m in self.observed}
            state = self.after(seen, dict.fromkeys(seen, here), z, gates_h, state)
        sequences = {name: torch.stack([drawn[name] for drawn in columns], 1) for name in columns[0]}
        return sequences if after is None else {k: v.unflatten(0, (count, -1)) for k, v in sequences.items()}

    def after(self, x: Values, mask: Values, z: Tensor, gates_h: Tensor, state: State) -> State:
        """The state after a tick with these values `[B, D]` and z."""
        return (self.advance(self.evidence(x, mask).gates, z, gates_h, state[0]),)
