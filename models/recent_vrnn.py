"""An MM-VRNN whose encoders see the recent past, not only what is now.

What a face and a voice do at one tick says little about a state that lasts for seconds; their means and
spreads over seconds say more. A recurrence can learn to take them, but hardly from an hour of twelve people,
nor beyond the ticks of a gradient step. So the encoders are given them. Of each modality, with x normalised
and m_t 1 where it is present, else 0,

    e_t = e_{t-1} + (1 − d) (m_t [x_t, x_t², 1] − e_{t-1}),   d = exp(−1 / ticks),   e_0 = 0

for several time constants. Of its three parts the encoder sees the mean m̄ = e(x), the share w = e(1) of the
recent ticks at which the modality was present, and w times the standard deviation √(e(x²) / w − (m̄ / w)²):
all fade while it is missing. They are a function of x_1 … x_t, so the equations are those of the MM-VRNN with
φ(x_1 … x_t) in place of φ(x_t); decoders give x_t, as it is. Modalities with an encoder of the user's, and
those that are no vectors, are seen as they are.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
import torch
from msgspec import Meta
from torch import Tensor, nn

from .batch import Batch
from .checked import Positive, Share
from .latents import Inferred
from .mm_vrnn import MMVRNN, MMVRNNConfig
from .modality import Modality
from .model import State
from .normalised import CLIP, SCALE_FLOOR, Values
from .recurrence import Recur, loop
from .whitening import WhitenedLinear

LEAST_SHARE: Final = 1e-2  # of recent ticks, by which sums are divided at least
LEAST_VARIANCE: Final = 1e-6  # of a normalised value, whose root has a gradient


class RecentVRNNConfig(MMVRNNConfig, frozen=True, tag_field="model", tag="recent_vrnn"):
    """Sizes of a RecentVRNN.

    Attributes:
        ticks: time constants of the exponential means.
        dropout: of hidden features, of encoders and of the targets' decoders, in training.
        whiten: what the encoders see, see `whitening`: for many people.
    """

    ticks: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=16)] = (25.0, 125.0)
    dropout: Share = 0.5
    whiten: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout == 1:
            raise ValueError("a dropout of 1 leaves nothing to learn from")


class RecentVRNN(MMVRNN):
    """An MM-VRNN whose encoders see means and spreads of the recent past; see the module's docstring.

    Args:
        modalities: or a `RecentVRNNConfig`.
        options: those of `RecentVRNNConfig`.
    """

    Config = RecentVRNNConfig
    states: tuple[str, ...] = ("h", "recent")
    decay: Tensor

    def __init__(self, modalities: Iterable[Modality] | RecentVRNNConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config)
        self.constants = len(config.ticks)
        self.summarised = tuple(m for m in self.inputs if self.is_summarised(m))
        decay = torch.exp(-1 / torch.tensor(config.ticks, dtype=torch.float64)).float()
        self.register_buffer("decay", decay, persistent=False)
        for m in self.summarised:
            self.register_buffer(f"recent_center_{m.name}", torch.zeros(self.constants * width(m)))
            self.register_buffer(f"recent_scale_{m.name}", torch.ones(self.constants * width(m)))
        for m in self.targets:
            of_h = self.target_decoder(m).of_h
            assert of_h is not None
            of_h.insert(0, nn.Dropout(config.dropout))

    def recent_moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation by which a modality's summaries are normalised, `[K (2 D + 1)]`."""
        return getattr(self, f"recent_center_{name}"), getattr(self, f"recent_scale_{name}")

    def is_summarised(self, m: Modality) -> bool:
        """Whether the encoder of a modality sees its recent past."""
        return m.role != "target" and m.encoder is None and len(m.shape) == 1

    def seen_size(self, m: Modality) -> int:
        """Numbers that the encoder of a modality sees."""
        return m.dim + self.is_summarised(m) * len(self.config.ticks) * width(m)

    @property
    def memory(self) -> int:
        """Numbers that are kept of the past, beside h."""
        return self.constants * sum(width(m) for m in self.summarised)

    def encoder(self, m: Modality, hidden: int) -> tuple[nn.Module, int]:
        size = self.seen_size(m)
        if size == m.dim:
            return super().encoder(m, hidden)
        network, features = super().encoder(msgspec.structs.replace(m, dim=size, shape=(size,)), hidden)
        if self.config.whiten:
            network = nn.Sequential(WhitenedLinear(size, features), nn.ReLU())
        return nn.Sequential(network, nn.Dropout(self.config.dropout)), features

    def initial_state(self, batch: int) -> State:
        """h before the first tick, `[B, H]`, and the memory of nothing."""
        (h,) = super().initial_state(batch)
        return h, h.new_zeros(batch, self.memory)

    def fit_normalisation(self, batch: Batch) -> None:
        """Also of the summaries."""
        super().fit_normalisation(batch)
        raw = self.batch(batch)
        values = self.encoder_inputs(self.flat(raw.x), raw.available)
        summaries, _ = self.summaries(values, raw.available, self.initial_state(raw.size)[1], loop)
        fitted = []
        for name, seen in summaries.items():
            known, (center, scale) = seen[raw.available[name]], self.recent_moments(name)
            if len(known) > 1 and not bool((scale != 1).any()):
                center.copy_(known.mean(0))
                scale.copy_(known.std(0).clamp(min=SCALE_FLOOR))
                fitted.append(name)
        if self.config.whiten:
            self.fit_whitening(raw, fitted)

    def fit_whitening(self, raw: Batch, names: Iterable[str]) -> None:
        """Whiten what the encoders of these modalities see."""
        seen, _ = self.seen(self.flat(raw.x), raw.available, self.initial_state(raw.size)[1], loop)
        for name in names:
            for layer in self.phi[name].modules():
                if isinstance(layer, WhitenedLinear):
                    layer.fit(seen[name][raw.available[name]])

    def summaries(
        self, values: Values, mask: Values, state: Tensor, recur: Recur
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Of each modality given, `[…, K (2 D + 1)]`, not normalised, and the state after them.

        Args:
            values: normalised, `[…, D]`, 0 where masked.
            state: `[B, K Σ (2 D + 1)]`.
        """
        some = next(iter(mask.values()))
        inputs = []
        for m in self.summarised:
            present = mask.get(m.name, torch.zeros_like(some)).unsqueeze(-1).to(state.dtype)
            x = values[m.name] if m.name in values else present.expand(*some.shape, m.dim)
            x = x * present
            inputs += [x, x * x, present]
        if not inputs:
            return {}, state
        joined = torch.cat(inputs, -1)
        size = joined.shape[-1]
        gain = (1 - self.decay).repeat_interleave(size)

        def tick(sums: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            sums = sums + gain * (torch.cat(inputs * self.constants, -1) - sums)
            return sums, [sums]

        after, (sums,) = recur(tick, state, [joined])
        found: dict[str, list[Tensor]] = {m.name: [] for m in self.summarised if m.name in values}
        for of_constant in sums.split(size, -1):
            parts = of_constant.split([width(m) for m in self.summarised], -1)
            for m, part in zip(self.summarised, parts, strict=True):
                if m.name in found:
                    mean, square, share = part.split([m.dim, m.dim, 1], -1)
                    by = share.clamp(min=LEAST_SHARE)
                    variance = square / by - (mean / by) * (mean / by)
                    std = torch.sqrt(variance.clamp(min=LEAST_VARIANCE))
                    found[m.name] += [mean, std * share, share]
        return {name: torch.cat(each, -1) for name, each in found.items()}, after

    def seen(self, x: Values, mask: Values, state: Tensor, recur: Recur) -> tuple[dict[str, Tensor], Tensor]:
        """What the encoders see of each modality given, and the state after it."""
        values = self.encoder_inputs(x, mask)
        summaries, after = self.summaries(values, mask, state, recur)
        for name, summary in summaries.items():
            center, scale = self.recent_moments(name)
            values[name] = torch.cat([values[name], ((summary - center) / scale).clamp(-CLIP, CLIP)], -1)
        return values, after

    def encoded(self, x: Values, mask: Values) -> Any:
        return dict(x), dict(mask)

    def inferred(
        self,
        encoded: Any,
        noise: Values | None,
        state: State | None = None,
        recur: Recur | None = None,
    ) -> Inferred:
        x, mask = encoded
        h, recent = self.started(() if state is None else state, next(iter(mask.values())).shape[0])
        seen, after = self.seen(x, mask, recent, recur or loop)
        found = self.recurred(self.evidence_of(seen, mask), self.given(seen), h, noise, recur)
        return found._replace(state=(*found.state, after))

    def after(self, x: Values, mask: Values, z: Tensor, gates_h: Tensor, state: State) -> State:
        seen, recent = self.seen(x, mask, state[1], lambda tick, s, inputs: tick(s, inputs))
        return self.advance(self.evidence_of(seen, mask).gates, z, gates_h, state[0]), recent


def width(m: Modality) -> int:
    """Numbers of a time constant: e(x), e(x²) and e(1), or what the encoder sees of them."""
    return 2 * m.dim + 1
