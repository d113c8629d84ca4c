"""What an encoder sees of a modality's recent past: means and spreads over several time constants.

With x normalised and m_t 1 where it is present, else 0,

    e_t = e_{t-1} + (1 − d) (m_t [x_t, x_t², 1] − e_{t-1}),   d = exp(−1 / ticks),   e_0 = 0

Of its three parts the encoder sees the mean m̄ = e(x), the share w = e(1) of the recent ticks at which the
modality was present, and w times the standard deviation √(e(x²) / w − (m̄ / w)²): all fade while it is
missing.
Modalities with an encoder of the user's, and those that are no vectors, are seen as they are.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import torch
from torch import Tensor, nn

from .coders import encoder_of
from .modality import Modality
from .normalised import CLIP, SCALE_FLOOR, Values
from .recurrence import Recur, loop
from .whitening import whitened

LEAST_SHARE: Final = 1e-2  # of recent ticks, by which sums are divided at least
LEAST_VARIANCE: Final = 1e-6  # of a normalised value, whose root has a gradient


class RecentPast(nn.Module):
    """Adds what was to what is, and carries the means from tick to tick.

    Args:
        modalities: K; those that cannot be summarised are left as they are.
        ticks: the time constants.

    Attributes:
        modalities: those summarised.
        memory: numbers of the state, all means one after the other.
    """

    decay: Tensor

    def __init__(self, modalities: Iterable[Modality], ticks: Sequence[float]) -> None:
        super().__init__()
        self.modalities = tuple(m for m in modalities if ticks and is_summarised(m))
        self.constants = len(ticks)
        self.memory = self.constants * sum(width(m) for m in self.modalities)
        decay = torch.exp(-1 / torch.tensor(ticks, dtype=torch.float64)).float()
        self.register_buffer("decay", decay, persistent=False)
        for m in self.modalities:
            self.register_buffer(f"center_{m.name}", torch.zeros(self.constants * width(m)))
            self.register_buffer(f"scale_{m.name}", torch.ones(self.constants * width(m)))

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation by which a modality's summaries are normalised, `[C (2 D + 1)]`."""
        return getattr(self, f"center_{name}"), getattr(self, f"scale_{name}")

    def initial_state(self, batch: int) -> Tensor:
        """Nothing has been: `[B, memory]`."""
        return self.decay.new_zeros(batch, self.memory)

    def fit(self, values: Values, mask: Values) -> list[str]:
        """Set the moments that have not been set, by normalised values `[N, T, D]`; returns whose."""
        some, fitted = next(iter(mask.values())), []
        for name, found in self.summaries(values, mask, self.initial_state(len(some)), loop)[0].items():
            known, (center, scale) = found[mask[name]], self.moments(name)
            if len(known) > 1 and not bool((scale != 1).any()):
                center.copy_(known.mean(0))
                scale.copy_(known.std(0).clamp(min=SCALE_FLOOR))
                fitted.append(name)
        return fitted

    def forward(
        self, values: Values, mask: Values, state: Tensor, recur: Recur
    ) -> tuple[dict[str, Tensor], Tensor]:
        """What encoders see of each modality given, values and normalised summaries, and the state after.

        Args:
            values: normalised, `[…, D]`, 0 where masked.
            mask: bool `[…]`.
            state: `[B, memory]`.
        """
        found, after = self.summaries(values, mask, state, recur)
        seen = dict(values)
        for name, summary in found.items():
            center, scale = self.moments(name)
            seen[name] = torch.cat([seen[name], ((summary - center) / scale).clamp(-CLIP, CLIP)], -1)
        return seen, after

    def summaries(
        self, values: Values, mask: Values, state: Tensor, recur: Recur
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Of each modality given, `[…, C (2 D + 1)]`, not normalised, and the state after them."""
        if not self.modalities:
            return {}, state
        some = next(iter(mask.values()))
        inputs = []
        for m in self.modalities:
            present = mask.get(m.name, torch.zeros_like(some)).unsqueeze(-1).to(state.dtype)
            x = values[m.name] if m.name in values else present.expand(*some.shape, m.dim)
            x = x * present
            inputs += [x, x * x, present]
        joined = torch.cat(inputs, -1)
        size = joined.shape[-1]
        gain = (1 - self.decay).repeat_interleave(size)

        def tick(means: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            means = means + gain * (torch.cat(inputs * self.constants, -1) - means)
            return means, [means]

        after, (means,) = recur(tick, state, [joined])
        found: dict[str, list[Tensor]] = {m.name: [] for m in self.modalities if m.name in values}
        for of_constant in means.split(size, -1):
            parts = of_constant.split([width(m) for m in self.modalities], -1)
            for m, part in zip(self.modalities, parts, strict=True):
                if m.name in found:
                    mean, square, share = part.split([m.dim, m.dim, 1], -1)
                    by = share.clamp(min=LEAST_SHARE)
                    variance = square / by - (mean / by) * (mean / by)
                    std = torch.sqrt(variance.clamp(min=LEAST_VARIANCE))
                    found[m.name] += [mean, std * share, share]
        return {name: torch.cat(each, -1) for name, each in found.items()}, after


def is_summarised(m: Modality) -> bool:
    """Whether an encoder sees a modality's recent past."""
    return m.role != "target" and m.encoder is None and len(m.shape) == 1


def seen_size(m: Modality, ticks: Sequence[float]) -> int:
    """Numbers that the encoder of a modality sees."""
    return m.dim + is_summarised(m) * len(ticks) * width(m)


def encoder_of_size(m: Modality, size: int, hidden: int, whiten: bool) -> tuple[nn.Module, int]:
    """The encoder of a modality that sees that many numbers, and the number of its features."""
    if size == m.dim:
        return encoder_of(m, hidden)
    if whiten:
        return whitened(size, hidden)
    return encoder_of(msgspec.structs.replace(m, dim=size, shape=(size,)), hidden)


def width(m: Modality) -> int:
    """Numbers of a time constant: e(x), e(x²) and e(1), or what an encoder sees of them."""
    return 2 * m.dim + 1
