"""Data of a model: values by modality, and where there are any."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..contracts.errors import UserError, one_line
from .arguments import check_names
from .modality import Modality

SLACK: Final = 0.01  # of the sum of shares, which half precision rounds
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
    check_names(data, modalities)
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


def check_batch(batch: Batch, modalities: tuple[Modality, ...]) -> None:
    """Check the names and shapes of a batch.

    Raises:
        UserError: no data, an unknown name, or values that do not have their modality's shape.
    """
    by_name = {m.name: m for m in modalities}
    check_names(batch.x, modalities)
    if not batch.x:
        raise UserError(f"no data: give at least one of {', '.join(by_name)}")
    if batch.x.keys() != batch.available.keys():
        raise UserError(f"a batch of {', '.join(batch.x)} says where there is {', '.join(batch.available)}")
    for name, value in batch.x.items():
        axes, shape = value.ndim - len(by_name[name].shape), by_name[name].shape
        if axes < 1 or value.shape[axes:] != shape or batch.available[name].ndim != axes:
            found = f"{list(value.shape)}, available {list(batch.available[name].shape)}"
            expected = f"[…, {', '.join(map(str, shape))}] and […]"
            raise UserError(f"{name}: a batch of values {found}, expected {expected}")


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
    if wrong := out_of_range(m, value.detach()[~nothing]):
        raise UserError(f"{m.name}: {wrong}")
    return ~nothing


def out_of_range(m: Modality, values: Tensor) -> str | None:
    """What is wrong with values `[N, D]` for their likelihood; None if nothing is."""
    if m.likelihood not in ("bernoulli", "categorical", "logit_normal") or not values.numel():
        return None
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= 1:
        return f"expected values from 0 to 1 ({m.likelihood}), found {low:g} to {high:g}"
    sums = values.sum(-1)
    low, high = float(sums.min()), float(sums.max())
    if m.likelihood == "categorical" and not 1 - SLACK <= low <= high <= 1 + SLACK:
        return f"expected one-hot values or shares of 1 (categorical), found sums from {low:g} to {high:g}"
    return None
