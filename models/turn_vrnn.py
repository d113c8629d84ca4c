"""Who speaks when: a RecentVRNN whose encoders see how two people have shared the time so far.

How engaged a person is shows in minutes of turn-taking, and few people have been rated: too few for a
recurrence to learn, from who speaks now, what to remember. So the encoders see exponential means, over
several time constants, of what two speakers can be doing:

    own           the person speaks
    onset         the person begins to speak
    partner       the other one speaks
    overlap       both do
    own pause     neither does; the person spoke last
    partner pause neither does; the other one spoke last

Each mean is over the ticks at which it is known, e_t = e_{t-1} + (1 − d)(a_t − e_{t-1}), d = exp(−1/ticks),
divided by the same mean of 1, so that it has no bias at the start; its root is taken, which spreads small
shares. The expert of `own` sees the first two, the expert of `partner` all: of a person alone nobody knows
whether the other one speaks in a pause. The means are a function of x_1 … x_t, so the equations are those of
the MM-VRNN with φ(x_1 … x_t) in place of φ(x_t); decoders give the speech of both at this tick, as it is.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor

from ..contracts.schemas import OWN, PARTNER
from .batch import Batch
from .checked import Positive, Share
from .modality import Modality
from .normalised import SCALE_FLOOR, Values
from .recent_vrnn import RecentVRNN, RecentVRNNConfig
from .recurrence import Recur, loop

OF_OWN: Final = 2  # own, onset
ALL: Final = 6
# Of own, partner and both: which of the weights each of the six has.
WEIGHT: Final = (0, 0, 1, 2, 2, 2)
SPEAKS: Final = 0.5  # share of a tick from which somebody counts as speaking


class TurnVRNNConfig(RecentVRNNConfig, frozen=True, tag_field="model", tag="turn_vrnn"):
    """Sizes of a TurnVRNN.

    Attributes:
        ticks: time constants of the exponential means.
        dropout: of hidden features in training.
    """

    ticks: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=16)] = (4.0, 16.0, 60.0, 240.0)
    dropout: Share = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.whiten:
            raise ValueError("a turn_vrnn sees six means, and is not whitened")
        observed = {m.name: m.dim for m in self.modalities if m.role != "target"}
        if observed != {OWN: 1, PARTNER: 1}:
            raise ValueError(f"a turn_vrnn observes {OWN} and {PARTNER}, a number each, found {observed}")


class Traces(NamedTuple):
    """The state of the means, K time constants each.

    Attributes:
        means: `[B, 6 K]`, before the division.
        weights: the same means of 1, of own, partner and both, `[B, 3 K]`.
        before: own speech at the last tick at which it was known, `[B, 1]`.
        last: who spoke last alone: 1 the person, −1 the other one, 0 nobody yet, `[B, 1]`.
    """

    means: Tensor
    weights: Tensor
    before: Tensor
    last: Tensor


class TurnVRNN(RecentVRNN):
    """An MM-VRNN of who speaks when; see the module's docstring.

    Args:
        modalities: `own` and `partner`, observed, 0 to 1, and targets; or a `TurnVRNNConfig`.
        options: those of `TurnVRNNConfig`.
    """

    Config = TurnVRNNConfig
    states = ("h", "traces")
    feature_center: Tensor
    feature_scale: Tensor

    def __init__(self, modalities: Iterable[Modality] | TurnVRNNConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config)
        self.constants = len(config.ticks)
        self.register_buffer("feature_center", torch.zeros(ALL * self.constants))
        self.register_buffer("feature_scale", torch.ones(ALL * self.constants))

    @property
    def summarised(self) -> tuple[Modality, ...]:
        return ()  # one by one; see `seen`

    def seen_size(self, m: Modality) -> int:
        return {OWN: OF_OWN, PARTNER: ALL}.get(m.name, 0) * len(self.config.ticks) or m.dim

    @property
    def memory(self) -> int:
        return (ALL + 3) * self.constants + 2

    def fit_normalisation(self, batch: Batch) -> None:
        """Also of the exponential means, where they are known."""
        super().fit_normalisation(batch)
        if bool((self.feature_scale != 1).any()) or not {OWN, PARTNER} <= batch.x.keys():
            return
        raw = self.batch(batch)
        features = self.traced(raw.x, raw.available, self.initial_state(raw.size)[1], loop)[0]
        known = raw.available[OWN] & raw.available[PARTNER]
        if int(known.sum()) > 1:
            self.feature_center.copy_(features[known].mean(0))
            self.feature_scale.copy_(features[known].std(0).clamp(min=SCALE_FLOOR))

    def traced(self, x: Values, mask: Values, state: Tensor, recur: Recur) -> tuple[Tensor, Tensor]:
        """The roots of the six means, K of each, `[…, 6 K]`, not normalised, and the state after them."""
        k = self.constants
        gain = 1 - self.past.decay  # [K]

        def tick(state: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            own, partner, hears_own, hears_partner = inputs  # [B, 1]
            s = Traces(*state.split([ALL * k, 3 * k, 1, 1], -1))
            both = hears_own * hears_partner
            alone, other = ((v > SPEAKS).to(own) for v in (own, partner))
            alone, other = both * alone * (1 - other), both * other * (1 - alone)
            last = s.last * (1 - alone - other) + alone - other
            silence = (1 - own) * (1 - partner)
            onset = torch.relu(own - s.before)
            doing = (
                own,
                onset,
                partner,
                own * partner,
                silence * torch.relu(last),
                silence * torch.relu(-last),
            )
            heard = (hears_own, hears_partner, both)
            weights = [w + h * gain * (1 - w) for w, h in zip(s.weights.split(k, -1), heard, strict=True)]
            means = [
                e + heard[i] * gain * (a - e)
                for e, a, i in zip(s.means.split(k, -1), doing, WEIGHT, strict=True)
            ]
            shares = [e / weights[i].clamp(min=1e-6) for e, i in zip(means, WEIGHT, strict=True)]
            before = s.before + hears_own * (own - s.before)
            after = torch.cat([*means, *weights, before, last], -1)
            return after, [torch.sqrt(torch.cat(shares, -1).clamp(min=0, max=1))]

        some = next(iter(mask.values()))
        inputs = []
        for name in (OWN, PARTNER):
            seen = mask.get(name, torch.zeros_like(some)).unsqueeze(-1)
            value = x[name] if name in x else torch.zeros_like(seen, dtype=state.dtype)
            inputs.append((torch.where(seen, value, 0.0).clamp(0, 1), seen.to(state.dtype)))
        (own, hears_own), (partner, hears_partner) = inputs
        after, (features,) = recur(tick, state, [own, partner, hears_own, hears_partner])
        return features, after

    def seen(self, x: Values, mask: Values, traces: Tensor, recur: Recur) -> tuple[dict[str, Tensor], Tensor]:
        """What the encoders see of each modality given, and the state after it."""
        features, after = self.traced(x, mask, traces, recur)
        features = (features - self.feature_center) / self.feature_scale
        views = {OWN: features[..., : OF_OWN * self.constants], PARTNER: features}
        return self.encoder_inputs({name: views.get(name, value) for name, value in x.items()}, mask), after
