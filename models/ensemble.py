"""A deep ensemble: several models of one configuration, whose predictions are one mixture.

Lakshminarayanan, Pritzel and Blundell, *Simple and scalable predictive uncertainty estimation using deep
ensembles*, NeurIPS 2017, section 2.4. Of a target's location (or logit), member k predicts N(μ_k, v_k), and
the ensemble the normal distribution with the mixture's moments,

    μ = mean of μ_k        v = mean of v_k + mean of (μ_k − μ)²

and of a likelihood's scale the mean of squares. An ensemble of one model, or of equal ones, is that model.
The members may differ in their first weights, in the order of their data, or in the data: where each leaves
out other people, those people tell how good the ensemble is.

The latents are those of all members, and so is the state. What is decoded is the mean of what the members
decode; new sequences are of one member each, and log p(x) is that of the mixture, log 1/K Σ_k p_k(x).
"""

import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta
from torch import Tensor, nn

from .batch import Batch, Data
from .causal import Causal, Filtered
from .checked import Checked
from .latents import Inferred, Latent
from .likelihoods import Parameters, integers, parameters
from .losses import Losses
from .mm_vrnn import MMVRNN, MMVRNNConfig
from .modality import Modality
from .model import State
from .networks import described
from .normalised import Values
from .recent_vrnn import RecentVRNN, RecentVRNNConfig
from .recurrence import Recur
from .target import Prediction, predictive
from .turn_vrnn import TurnVRNN, TurnVRNNConfig


class EnsembleConfig(Checked, frozen=True, tag_field="model", tag="ensemble"):
    """An ensemble.

    Attributes:
        member: the configuration of each, of an MM-VRNN, a RecentVRNN or a TurnVRNN.
        members: K.
    """

    member: MMVRNNConfig | RecentVRNNConfig | TurnVRNNConfig
    members: Annotated[int, Meta(ge=1, le=64)] = 5

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.member.modalities


class Ensemble(Causal):
    """K models of one configuration; see the module's docstring.

    Trained from a configuration, all members see the same data in the same order, and differ in their first
    weights and their noise.

    Args:
        config: `EnsembleConfig(member, members)`, the configuration of each and their number; or trained
            models, which are copied. Their factors on the predictive scale are not used: the
            ensemble has its own.

    Raises:
        ValueError: models of different configurations, or normalised differently.
    """

    Config = EnsembleConfig
    axes = 2

    def __init__(self, config: EnsembleConfig | Sequence[MMVRNN]) -> None:
        if isinstance(config, EnsembleConfig):
            members = [untrained(config.member) for _ in range(config.members)]
        else:
            members = [deepcopy(member) for member in config]
            # Networks of the user's by their text: each member may have been given its own.
            if len({msgspec.json.encode(one.config, enc_hook=described) for one in members}) != 1:
                raise ValueError("an ensemble is made of models of one configuration")
            for m in members[0].modalities:
                moments = [torch.cat(one.moments(m.name)) for one in members]
                if any(not torch.equal(one, moments[0]) for one in moments):
                    raise ValueError(f"the members of an ensemble are normalised alike; {m.name} is not")
            config = EnsembleConfig(members[0].config, len(members))
        super().__init__(config.modalities)
        self.config, self.states = config, members[0].states
        self.sizes = {"z": config.members * config.member.latent}
        self.members = nn.ModuleList(members)
        for m in self.modalities:
            self.normalise(m.name, *members[0].moments(m.name))
        for m in self.targets:
            self.register_buffer(f"widening_{m.name}", torch.ones(()))

    @property
    def models(self) -> list[MMVRNN]:
        """The members."""
        return [member for member in self.members if isinstance(member, MMVRNN)]

    @property
    def decoded_from(self) -> dict[str, int]:
        """z and h of all members."""
        return self.sizes | {"h": self.config.members * self.config.member.hidden}

    def widening(self, m: Modality) -> Tensor:
        found: Tensor = getattr(self, f"widening_{m.name}")
        return found

    def normalise(self, name: str, center: Tensor, scale: Tensor) -> None:
        super().normalise(name, center, scale)
        for member in self.models:
            member.normalise(name, center, scale)

    def fit_normalisation(self, batch: Batch) -> None:
        super().fit_normalisation(batch)
        for member in self.models:
            member.fit_normalisation(batch)

    def initial_state(self, batch: int) -> State:
        """The members' states before the first tick, one after the other, `[B, K ·]`."""
        return tuple(s.repeat(1, self.config.members) for s in self.models[0].initial_state(batch))

    def of_members(self, state: State) -> list[State]:
        """A state of the ensemble as those of its members."""
        parts = ([part.contiguous() for part in s.chunk(self.config.members, -1)] for s in state)
        return list(zip(*parts, strict=True))  # contiguous: a Scan begins with its state as it leaves it

    def latents_of_members(self, z: Values) -> list[dict[str, Tensor]]:
        """Latents, noise or contexts `[…, K ·]` as those of the members."""
        parts = {name: value.chunk(self.config.members, -1) for name, value in z.items()}
        return [{name: value[k] for name, value in parts.items()} for k in range(self.config.members)]

    def encoded(self, x: Values, mask: Values) -> Any:
        return tuple(member.encoded(x, mask) for member in self.models)

    def inferred(
        self, encoded: Any, noise: Values | None, state: State | None = None, recur: Recur | None = None
    ) -> Inferred:
        draws = [None] * len(encoded) if noise is None else self.latents_of_members(noise)
        states = [None] * len(encoded) if not state else self.of_members(state)
        found = [
            member.inferred(given, draw, before, recur)
            for member, given, draw, before in zip(self.models, encoded, draws, states, strict=True)
        ]
        latents = zip(*(one.latents["z"] for one in found), strict=True)
        h = torch.cat([one.context["h"] for one in found], -1)
        z = Latent(*(torch.cat(parts, -1) for parts in latents))
        return Inferred({"z": z}, {"h": h}, together([one.state for one in found]))

    def outputs(self, name: str, z: Values) -> Tensor:
        parts = zip(self.models, self.latents_of_members(z), strict=True)
        return torch.stack([member.outputs(name, part) for member, part in parts]).mean(0)

    def mean(self, m: Modality, z: Values) -> Tensor:
        parts = zip(self.models, self.latents_of_members(z), strict=True)
        return torch.stack([member.mean(m, part) for member, part in parts]).mean(0)

    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """The mean of the members' negative ELBOs: each is trained as if it were alone."""
        batch = self.batch(data)
        states = self.of_members(self.started(state, batch.size))
        found = [
            member.loss(batch, fed, before, beta, generator)
            for member, before in zip(self.models, states, strict=True)
        ]
        total, kl = (torch.stack(v).mean() for v in zip(*((one.total, one.kl) for one in found), strict=True))
        costs = {name: torch.stack([one.nll[name] for one in found]).mean() for name in found[0].nll}
        return Losses(total, kl, costs, together([one.state for one in found]))

    def filter(self, data: Data | Batch, state: State = (), recur: Recur | None = None) -> Filtered:
        """The mixture of the members' predictions at each tick, given everything up to it.

        Args:
            state: of the ticks before; () at the start.
        """
        batch = self.batch(data)
        size = next(iter(batch.available.values())).shape[0]
        states = self.of_members(self.started(state, size))
        found = [
            member.filter(batch, before, recur) for member, before in zip(self.models, states, strict=True)
        ]
        return Filtered(
            {m.name: self.mixture(m, found) for m in self.targets},
            torch.cat([one.mean for one in found], -1),
            torch.cat([one.std for one in found], -1),
            {name: self.surprise([one.surprise[name] for one in found]) for name in found[0].surprise},
            together([one.state for one in found]),
            {"h": torch.cat([one.context["h"] for one in found], -1)},
        )

    def mixture(self, m: Modality, found: Sequence[Filtered]) -> Prediction:
        """A target's distribution, of what the members found."""
        locations, variances, own = [], [], []
        for member, one in zip(self.models, found, strict=True):
            decoder = member.target_decoder(m)
            location, scale = parameters(m.likelihood, decoder(one.mean, one.context["h"]))
            locations.append(location)
            variances.append(decoder.variance(one.std * one.std))
            own.append(scale)
        location = torch.stack(locations).mean(0)
        between = torch.stack([(each - location) * (each - location) for each in locations]).mean(0)
        squares = [scale * scale for scale in own if scale is not None]
        scale = torch.sqrt(torch.stack(squares).mean(0)) if squares else None
        variance = torch.stack(variances).mean(0) + between
        known = Parameters(location, scale)
        return self.predicted(m, predictive(m.likelihood, known, variance, self.widening(m)))

    def surprise(self, nats: Sequence[Tensor]) -> Tensor:
        """−log p of the mixture."""
        return math.log(len(nats)) - torch.logsumexp(-torch.stack([*nats]), 0)

    @torch.no_grad()
    def generate(
        self,
        count: int,
        ticks: int,
        after: Data | Batch | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """New sequences as `MMVRNN.generate`, each of one member, drawn at random."""
        drawn = [member.generate(count, ticks, after, generator) for member in self.models]
        some = next(iter(drawn[0].values()))
        of = integers(len(drawn), (count,), some, generator)
        every = torch.arange(count, device=some.device)
        return {name: torch.stack([one[name] for one in drawn])[of, every] for name in drawn[0]}

    def draw(
        self, z: Values, of: Iterable[str] | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """A draw of one member, drawn at random, as `Model.draw`."""
        parts = self.latents_of_members(self._checked_latents(z))
        k = int(integers(len(parts), (), next(self.buffers()), generator))
        return self.models[k].draw(parts[k], of, generator)

    def log_likelihood(self, *arguments: Any, **options: Any) -> Tensor:
        """log p of the mixture, of what `Model.log_likelihood` takes."""
        found = [member.log_likelihood(*arguments, **options) for member in self.models]
        return torch.logsumexp(torch.stack(found), 0) - math.log(len(found))


def untrained(config: MMVRNNConfig) -> MMVRNN:
    """A member with new weights."""
    kinds: dict[type[MMVRNNConfig], type[MMVRNN]] = {
        MMVRNNConfig: MMVRNN,
        RecentVRNNConfig: RecentVRNN,
        TurnVRNNConfig: TurnVRNN,
    }
    return kinds[type(config)](config)


def together(states: Sequence[State]) -> State:
    """The members' states as that of the ensemble."""
    return tuple(torch.cat(parts, -1) for parts in zip(*states, strict=True))
