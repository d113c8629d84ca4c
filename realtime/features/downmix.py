"""Several channels of sound to one, block by block."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError

# Weights in a mono signal, by FFmpeg's names: those of ITU-R BS.775 with left and right, and the surrounds
# with them, at 1/√2, so that stereo gives the mean. Speech is in the centre: it keeps its level.
_FRONT: Final = 0.5
_SURROUND: Final = 0.5 / math.sqrt(2)
_WEIGHTS: Final = {
    "FC": 1.0,
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "DL", "DR"), _FRONT),
    **dict.fromkeys(("BL", "BR", "BC", "SL", "SR", "SDL", "SDR", "WL", "WR"), _SURROUND),
    **dict.fromkeys(("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR", "TSL", "TSR"), _SURROUND),
    **dict.fromkeys(("BFL", "BFC", "BFR"), _SURROUND),
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
}
_SILENT: Final = 1e-6  # mean square: −60 dBFS
_INAUDIBLE: Final = 1e-4  # −40 dB
_OPPOSED: Final = -0.8  # correlation, of channels that become inverted
_NO_LONGER: Final = -0.5  # of those that no longer are
_HALF: Final = 5.0  # s; a decision sees the last 5 to 10 s
_LOUDEST: Final = 10.0  # of full scale; floats beyond it are no sound
_RAMP: Final = 0.005  # s
_WORTH_A_NOTE: Final = 0.5  # s


class Downmix:
    """Mixes sound to mono: a voice keeps its level, on whichever channels it is.

    Channels of a known layout have the weights of ITU-R BS.775, others the same weight. A channel is left out
    while it has been below −60 dBFS, and 40 dB below the loudest, in every block of the last 5 to 10 s; what
    is left is scaled to a sum of 1 if it is less. A mix of more than one sum, as of 5.1, is never louder over
    that time than its loudest channel. Of two live channels in antiphase, as by a cable with crossed wires,
    the second is inverted. Each block is mixed by what it and the blocks before it show; digital silence
    changes nothing. Weights change over 5 ms.

    Args:
        names: of the channels, as FFmpeg names them. None, or one that is unknown: no layout.
        channel: the only one to take, from 1.

    Raises:
        UserError: there is no such channel; here if there are names, else with the first block.
    """

    def __init__(self, names: Sequence[str] | None = None, channel: int | None = None) -> None:
        self._impossible = 0  # samples that were clipped
        self._names, self._channel = names, channel
        self._relative: NDArray[np.float64] | None = None  # [channels]; None before the first block
        self._weights: NDArray[np.float64] | None = None  # the same, of the latest block
        if names is not None:
            self._check(len(names))

    @property
    def notes(self) -> list[str]:
        """A line for each thing that was found and changed the mix for half a second or more."""
        notes = []
        if self._impossible:
            limit = f"{_LOUDEST:g} times full scale"
            notes.append(
                f"{self._impossible} samples of the sound were beyond {limit}, or no numbers: clipped"
            )
        if self._relative is None:
            return notes
        silent: dict[str, list[str]] = {}  # numbers of channels, by how long
        for number, seconds in enumerate(self._left_out, start=1):
            if seconds >= _WORTH_A_NOTE:
                part = "" if seconds == self._seconds else f" for {seconds:.1f} of {self._seconds:.1f} s"
                silent.setdefault(part, []).append(str(number))
        for part, numbers in silent.items():
            which = f"channel {numbers[0]}" if len(numbers) == 1 else f"channels {', '.join(numbers)}"
            verb = "is" if len(numbers) == 1 else "are"
            notes.append(f"{which} of {self._left_out.size} {verb} silent: left out{part}")
        if self._opposed_for >= _WORTH_A_NOTE:
            notes.append("the two channels of the sound are in antiphase: the second was inverted")
        return notes

    def push(self, block: NDArray[np.floating], rate: int) -> NDArray[np.float32]:
        """The next samples, `[n, channels]` with full scale ±1, as `[n]`. What is not finite is silence; what
        is beyond 10 times full scale is clipped.

        Args:
            rate: samples/s.
        """
        samples = np.asarray(block, np.float64)
        n, channels = samples.shape
        if not (usable := np.abs(samples) <= _LOUDEST).all():
            self._impossible += int((~usable).any(axis=1).sum())
            samples = np.clip(np.where(np.isfinite(samples), samples, 0), -_LOUDEST, _LOUDEST)
        if self._relative is None:
            self._check(channels)
            self._start(channels)
        if self._channel is not None:
            samples = samples[:, [self._channel - 1]]
        if samples.shape[1] == 1 or n == 0:
            alone: NDArray[np.float32] = samples.sum(axis=1).astype(np.float32)
            return alone
        self._observe(samples, n / rate)
        before, weights = self._weights, self._decide(n / rate)
        mixed = samples @ weights
        if before is not None and not np.array_equal(before, weights):
            first = min(n, math.ceil(_RAMP * rate))
            mixed[:first] += samples[:first] @ (before - weights) * np.linspace(1, 0, first)
        self._weights = weights
        mono: NDArray[np.float32] = mixed.astype(np.float32)
        return mono

    def _check(self, channels: int) -> None:
        if self._channel is not None and not 1 <= self._channel <= channels:
            there = "is one channel" if channels == 1 else f"are channels 1 to {channels}"
            raise UserError(f"channel {self._channel} of the sound: there {there}; give one of them")

    def _start(self, channels: int) -> None:
        names = self._names or ()
        known = len(names) == channels and all(name in _WEIGHTS for name in names)
        relative = np.array([_WEIGHTS[name] for name in names] if known else [1 / channels] * channels)
        self._relative = relative if relative.any() else np.full(channels, 1 / channels)
        self._live = self._relative > 0
        self._opposed = False
        # Of this half window and the one before: the greatest mean square of a block, and sums of products.
        self._power = np.zeros((2, channels))
        self._products = np.zeros((2, channels, channels))
        self._filled = 0.0  # s, of this half window
        self._seconds, self._left_out, self._opposed_for = 0.0, np.zeros(channels), 0.0  # s, with sound

    def _observe(self, samples: NDArray[np.float64], seconds: float) -> None:
        if self._filled >= _HALF:
            for window in (self._power, self._products):
                window[1], window[0] = window[0], 0
            self._filled = 0.0
        products = samples.T @ samples
        self._power[0] = np.maximum(self._power[0], products.diagonal() / len(samples))
        self._products[0] += products
        self._filled += seconds

    def _decide(self, seconds: float) -> NDArray[np.float64]:
        """Weights `[channels]`."""
        assert self._relative is not None
        weighted = self._relative > 0
        power = np.where(weighted, self._power.max(axis=0), 0)
        products = self._products.sum(axis=0)
        energy = products.diagonal()
        if (loudest := power.max()) > 0:
            self._live = weighted & ((power >= _SILENT) | (power >= loudest * _INAUDIBLE))
            self._opposed = False if self._live.sum() != 2 else self._are_opposed(products)
            self._seconds += seconds
            self._left_out[weighted & ~self._live] += seconds
            self._opposed_for += seconds * self._opposed
        weights: NDArray[np.float64] = self._relative * self._live
        if self._opposed:
            weights[np.flatnonzero(self._live)[1]] *= -1
        total = np.abs(weights).sum()
        if total < 1:
            weights /= total
        elif total > 1 and (mixed := weights @ products @ weights) > (most := energy[self._live].max()):
            weights *= math.sqrt(most / mixed)
        return weights

    def _are_opposed(self, products: NDArray[np.float64]) -> bool:
        a, b = np.flatnonzero(self._live)
        scale = math.sqrt(products[a, a] * products[b, b])
        return bool(products[a, b] < (_NO_LONGER if self._opposed else _OPPOSED) * scale)
