"""Data of a model: values by modality, and where there are any."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..contracts.errors import UserError, one_line
from .modality import Modality

NO_SPREAD: Final[Mapping[str, Tensor]] = MappingProxyType({})  # all labels are certain
Data = Mapping[str, Any]  # arrays or tensors by modality, NaN where missing


class Batch(NamedTuple):
    """Raw values `[B, *shape]`, of sequences `[B, T, *shape]`, and where there is one, bool `[B]` or
    `[B, T]`, by modality. A value that is not available may be anything, NaN included.

    Attributes:
        spread: of targets whose labels are uncertain, their standard deviation, in the target's unit, of the
            shape of x; 0 where a label is certain.
    """

    x: dict[str, Tensor]
    available: dict[str, Tensor]
    spread: Mapping[str, Tensor] = NO_SPREAD

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same of all tensors."""
        x, available, spread = ({k: change(v) for k, v in part.items()} for part in self)
        return Batch(x, available, spread)

    def segments(self, ticks: int) -> list["Batch"]:
        """Consecutive parts of sequences, of that length but for the last."""
        length = next(iter(self.available.values())).shape[1]
        parts = [slice(t, t + ticks) for t in range(0, length, ticks)]
        return [self.map(lambda v, part=part: v[:, part]) for part in parts]  # type: ignore[misc]

    def rows(self, index: Tensor | slice) -> "Batch":
        """Some of the samples or sequences."""
        if isinstance(index, slice):
            return self.map(lambda v: v[index])
        return self.map(lambda v: v.index_select(0, index))

    def flattened(self) -> "Batch":
        """Every tick of sequences as a sample."""
        return self.map(lambda v: v.flatten(0, 1))

    def given(self, names: Iterable[str]) -> "Batch":
        """The modalities of those names; if there are none of them, one that is missing throughout."""
        names = set(names)
        x = {k: v for k, v in self.x.items() if k in names}
        if x:
            spread = {k: v for k, v in self.spread.items() if k in names}
            return Batch(x, {k: self.available[k] for k in x}, spread)
        name, value = next(iter(self.x.items()))
        return Batch({name: value}, {name: torch.zeros_like(self.available[name])})

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Batch":
        """On a device, values in that type."""
        return Batch(
            {k: v.to(device, dtype) for k, v in self.x.items()},
            {k: v.to(device) for k, v in self.available.items()},
            {k: v.to(device, dtype) for k, v in self.spread.items()},
        )

    @property
    def present(self) -> int:
        """Samples, or ticks of all sequences, with something available."""
        return int(torch.stack(list(self.available.values())).any(0).sum())

    @property
    def size(self) -> int:
        """Number of samples or sequences."""
        return len(next(iter(self.available.values())))


def batch_of(data: Data, modalities: tuple[Modality, ...], axes: int) -> Batch:
    """Checked data, in float32 or float64; a value that is all NaN, or masked in NumPy, is missing.

    Args:
        data: `[N, *shape]` by modality, with two `axes` `[N, T, *shape]`. Modalities that are left out are
            missing.

    Raises:
        UserError: no data, an unknown name, no real numbers, shapes that do not fit or agree, values that
            are not finite or not in the range of the likelihood.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"data are a dictionary of arrays by modality, found {type(data).__name__}")
    by_name = {m.name: m for m in modalities}
    if unknown := [name for name in data if name not in by_name]:
        raise UserError(
            f"{', '.join(map(str, unknown))}: no such modality; the model has {', '.join(by_name)}"
        )
    if not data:
        raise UserError(f"no data: give at least one of {', '.join(by_name)}")
    x, available, leading = {}, {}, None
    for name, m in by_name.items():
        if name not in data:
            continue
        value = _numbers(name, data[name])
        if value.ndim != axes + len(m.shape) or value.shape[axes:] != m.shape:
            expected = ", ".join(["N", "T"][:axes] + [str(n) for n in m.shape])
            raise UserError(f"{name}: expected [{expected}], found {list(value.shape)}")
        if leading not in (None, value.shape[:axes]):
            raise UserError(
                f"{name}: {list(value.shape[:axes])} values, but {list(leading or ())} of {next(iter(x))}"
            )
        leading = value.shape[:axes]
        if axes == 2 and leading[1] == 0:
            raise UserError(f"{name}: sequences of no ticks")
        x[name], available[name] = value, _available(value.flatten(axes), m)
    return Batch(x, available)


def check_names(names: Iterable[str], modalities: tuple[Modality, ...]) -> None:
    """Check that modalities of these names exist.

    Raises:
        UserError: one does not.
    """
    known = [m.name for m in modalities]
    if unknown := [str(name) for name in names if name not in known]:
        raise UserError(f"{', '.join(unknown)}: no such modality; the model has {', '.join(known)}")


def _numbers(name: str, value: Any) -> Tensor:
    """An array of any kind in float32 or float64."""
    if isinstance(value, Tensor):
        if value.is_complex() or value.layout != torch.strided:
            raise UserError(f"{name}: expected real numbers, dense, found {value.dtype}, {value.layout}")
        return value if value.dtype in (torch.float32, torch.float64) else value.float()
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(float), np.nan)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of different lengths; tensors of a GPU
        raise UserError(f"{name}: not an array: {one_line(error)}") from None
    if array.dtype.kind not in "biuf":
        raise UserError(f"{name}: expected real numbers, found {array.dtype}")
    wide = array.dtype.kind == "f" and array.itemsize > 4
    # As PyTorch takes it: of native byte order, no negative strides, and writable.
    return torch.from_numpy(np.require(array, np.float64 if wide else np.float32, ["C", "W"]))


def _available(value: Tensor, m: Modality) -> Tensor:
    """Where a modality's values `[…, D]` are present."""
    missing = value.isnan()
    nothing = missing.all(-1)
    if value.is_meta:  # has no values to check
        return ~nothing
    if bool((missing.any(-1) & ~nothing).any()) or bool(value.isinf().any()):
        raise UserError(f"{m.name}: a value must be finite, or all NaN, which is missing")
    if m.likelihood in ("bernoulli", "categorical", "logit_normal"):
        there = value.detach()[~nothing]
        if there.numel() and not 0 <= float(there.min()) <= float(there.max()) <= 1:
            raise UserError(
                f"{m.name}: expected values from 0 to 1 ({m.likelihood}), found {float(there.min()):g} to "
                f"{float(there.max()):g}"
            )
    return ~nothing
