"""Patterns of missing modalities, in simulated data and in training.

Bursts follow Gilbert's (1960) two-state channel: a Markov chain that leaves either state with a constant
probability per tick, so the lengths of bursts and gaps are geometric.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batch import Batch
from .checked import Checked, Name, Seconds, Share
from .modality import Modality


class Dropout(Checked, frozen=True):
    """Which observed modalities are hidden from the encoders in training.

    The first three are shares of sequences, per modality, with a sum of at most 1; the rest stay complete.
    """

    absent: Share = 0.2  # hidden from the first tick to the last
    bursts: Share = 0.3  # hidden in bursts
    frames: Share = 0.15  # hidden tick by tick
    burst_seconds: Seconds = 2.0  # mean length of a burst; gaps between bursts are twice as long
    frame_share: Share = 0.3  # share of ticks hidden in a `frames` sequence
    target: Share = 0.9  # share of sequences in which the target is hidden from its encoder
    keep: tuple[Name, ...] = ()  # observed modalities and contexts that are never hidden, such as a clock

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.absent + self.bursts + self.frames > 1 + 1e-9:
            raise ValueError("absent, bursts and frames must have a sum of at most 1")


def bursts(
    rng: np.random.Generator,
    streams: int,
    ticks: int,
    mean_burst: float,
    mean_gap: float | NDArray[np.floating],
) -> NDArray[np.bool_]:
    """True where missing, `[streams, ticks]`; mean lengths in ticks, at least 1, the gap's optionally by
    stream.

    Starts in the chain's stationary distribution.
    """
    begin, end = 1 / np.maximum(mean_gap, 1), 1 / max(mean_burst, 1)
    missing = rng.random(streams) < begin / (begin + end)
    draws = rng.random((ticks, streams))
    out = np.empty((ticks, streams), bool)
    for t in range(ticks):
        missing = missing ^ (draws[t] < np.where(missing, end, begin))
        out[t] = missing
    return out.T


def modality_dropout(
    rng: np.random.Generator, streams: int, ticks: int, rate: int, config: Dropout
) -> NDArray[np.bool_]:
    """True where a modality is hidden in training, `[streams, ticks]`; see `Dropout`."""
    kind = rng.random(streams)
    absent = kind < config.absent
    in_bursts = ~absent & (kind < config.absent + config.bursts)
    by_frame = ~absent & ~in_bursts & (kind < config.absent + config.bursts + config.frames)
    length = config.burst_seconds * rate
    hidden = bursts(rng, streams, ticks, length, 2 * length) & in_bursts[:, None]
    hidden |= (rng.random((streams, ticks)) < config.frame_share) & by_frame[:, None]
    hidden |= absent[:, None]
    return hidden


def hidden(
    rng: np.random.Generator, batch: Batch, modalities: tuple[Modality, ...], rate: int, dropout: Dropout
) -> dict[str, Tensor]:
    """Where the encoders see what is available: modality dropout; a target is hidden by whole sequences."""
    fed = {}
    for m in modalities:
        if m.name not in batch.x:
            continue
        seen = batch.available[m.name]
        streams, ticks = seen.shape
        if m.name in dropout.keep:
            fed[m.name] = seen
            continue
        if m.role == "target":
            hide = np.broadcast_to(rng.random((streams, 1)) < dropout.target, (streams, ticks))
        else:
            hide = modality_dropout(rng, streams, ticks, rate, dropout)
        fed[m.name] = seen & ~torch.from_numpy(hide.copy()).to(seen.device)
    return fed
