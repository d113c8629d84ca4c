"""Gaussian latents: a posterior beside its prior, and draws of all latents of a model."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..contracts.errors import UserError


class Latent(NamedTuple):
    """One latent's posterior and prior; `[B, Z]`, of one that changes over time `[B, T, Z]`.

    Attributes:
        sample: of the posterior, or its mean. In a recurrence the next tick's prior and posterior depend on
            it.
    """

    mean: Tensor
    precision: Tensor
    prior_mean: Tensor
    prior_precision: Tensor
    sample: Tensor


class Inferred(NamedTuple):
    """Latents by name, what else the decoders need, and the state after the last tick."""

    latents: dict[str, Latent]
    context: dict[str, Tensor]
    state: tuple[Tensor, ...] = ()

    @property
    def z(self) -> dict[str, Tensor]:
        """The samples of the latents, and the context: what the decoders take."""
        return {name: latent.sample for name, latent in self.latents.items()} | self.context


class Latents(Mapping[str, Tensor]):
    """Draws, or means, of a model's latents by name: `z["shared"]` is also `z.shared`.

    Each is `[N, Z]`, of sequences `[N, T, Z]` but `[N, Z]` if it is static; with S draws of each, `[S, N,
    …]`. What a decoder needs beside the latents, as the state h of an MM-VRNN, is in here under its name.

    Args:
        parts: by name.
        private: names of those that belong to the modality of their name.
        axis: of the samples or sequences, 1 after an axis of draws.
        static: names of those that are constant over a sequence.
    """

    def __init__(
        self,
        parts: Mapping[str, Tensor],
        private: tuple[str, ...] = (),
        axis: int = 0,
        static: tuple[str, ...] = (),
    ) -> None:
        self._parts, self._private, self._axis, self._static = dict(parts), private, axis, static

    def __getitem__(self, name: str) -> Tensor:
        return self._parts[name]

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("_"):  # among others `_parts`, of a copy that has none yet
            raise AttributeError(name)
        if name in self._parts:
            return self._parts[name]
        raise AttributeError(f"no latent {name!r}, only {', '.join(self._parts)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"Latents({', '.join(f'{k}={list(v.shape)}' for k, v in self._parts.items())})"

    @property
    def private(self) -> dict[str, Tensor]:
        """The private latents by modality."""
        return {name: self._parts[name] for name in self._private}

    def _with(self, parts: Mapping[str, Tensor]) -> "Latents":
        return Latents(parts, self._private, self._axis, self._static)

    def swap(self, name: str, other: "Latents") -> "Latents":
        """These with one latent of another.

        Raises:
            UserError: there is no latent of that name.
        """
        self._check(name, other)
        return self._with(self._parts | {name: other[name]})

    def _check(self, name: str, other: "Latents") -> None:
        if name not in self or name not in other:
            raise UserError(f"{name}: no such latent, only {', '.join(self)}")

    def roll(self, shift: int) -> "Latents":
        """Those of the sample or sequence `shift` places before, all latents together."""
        return self._with({k: v.roll(shift, self._axis) for k, v in self._parts.items()})

    def _changes(self, name: str) -> bool:
        """Whether a static latent has been made to change over time."""
        return self[name].ndim > self._axis + 2

    def interpolate(self, name: str, other: "Latents", weight: Any) -> "Latents":
        """These with one latent on the way to that of another.

        Args:
            weight: 0 here, 1 there; one number, or `[T]`, by which a static latent also changes over time.

        Raises:
            UserError: there is no latent of that name, or their shapes or the weights do not fit.
        """
        self._check(name, other)
        here, there = self[name], other[name]
        weight = torch.as_tensor(weight).to(here)
        over_time = weight.ndim > 0
        if name in self._static and (over_time or self._changes(name) or other._changes(name)):
            here, there = (  # [N, 1, Z] or [N, T, Z]
                z[name] if z._changes(name) else z[name].unsqueeze(-2) for z in (self, other)
            )
        if over_time:
            weight = weight.unsqueeze(-1)  # [T, 1]
        try:
            between = here + (there - here) * weight
        except RuntimeError:
            shown = f"{list(here.shape)} to {list(there.shape)}"
            shown += f" by {len(weight)} weights" if over_time else ""
            raise UserError(f"{name}: cannot go from {shown}") from None
        return self._with(self._parts | {name: between})


def repeated(encoded: Any, times: int) -> Any:
    """Tensors `[B, …]` in tuples and dictionaries as `[times · B, …]`."""
    if isinstance(encoded, Tensor):
        return encoded.expand(times, *encoded.shape).flatten(0, 1)
    if isinstance(encoded, Mapping):
        return {key: repeated(value, times) for key, value in encoded.items()}
    if isinstance(encoded, tuple):
        values = [repeated(value, times) for value in encoded]
        return type(encoded)(*values) if hasattr(encoded, "_fields") else tuple(values)
    return encoded
