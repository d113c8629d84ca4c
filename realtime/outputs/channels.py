"""An estimate as a plain row of numbers, for what knows nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ..engine.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Channel:
    label: str
    unit: str


def channels(modalities: Sequence[str]) -> list[Channel]:
    """What the numbers of `numbers` are: four of engagement, then three of each modality."""
    row = [Channel(f"engagement_{name}", "0..1") for name in ("mean", "std", "low", "high")]
    for modality in modalities:
        row += [
            Channel(f"{modality}_present", "0 or 1"),
            Channel(f"{modality}_age", "ms"),
            Channel(f"{modality}_surprise", "nats"),
        ]
    return row


def numbers(estimate: Estimate, modalities: Sequence[str]) -> list[float]:
    """Those of one tick; NaN where there is no value."""
    row: list[float] = list(msgspec.structs.astuple(estimate.engagement))
    for modality in modalities:
        row += [
            float(estimate.present[modality]),
            _or_nan(estimate.age_ms[modality]),
            _or_nan(estimate.surprise[modality]),
        ]
    return row


def _or_nan(x: float | None) -> float:
    return math.nan if x is None else x
