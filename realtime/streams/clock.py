"""From a device's own count of samples to the session's clock.

A sound card counts samples by its own crystal, which is wrong by up to 200 parts in a million: 17 s a day.
Observed are pairs: a count, and the time at which the host had so many samples. A busy host may be late by
any amount, and is hardly ever early. So only the pair of least delay in every two seconds is used, and
through those of the last two minutes a line of their median slope, with a quarter of them below it.

Source: V. Paxson, "On calibrating measurements of packet transit times", SIGMETRICS 1998 (the least delay of
each interval, then a robust line); P. K. Sen, "Estimates of the regression coefficient based on Kendall's
tau", JASA 63 (1968), for the line. The wall clock plays no part.
"""

from collections import deque
from typing import Final

import numpy as np

from .samples import SECOND

INTERVAL: Final = 2 * SECOND  # of which the pair of least delay counts
INTERVALS: Final = 60  # two minutes: short enough for a crystal that warms up
FIT_FROM: Final = 15  # intervals; a slope over less than 30 s measures the host's delays, not the crystal
TOO_EARLY: Final = 0.25  # of the intervals; that many may be wrong in the rare direction
AWAY: Final = 3  # intervals in a row; a busy host may be late by more than a step in two
STEP: Final = SECOND // 50  # 20 ms; the jitter that resampling and features allow, too
MAX_DRIFT: Final = 500e-6  # crystals stay within 200 ppm; beyond this the fit is wrong, not the device

_PAIRS: Final = {n: np.triu_indices(n, 1) for n in range(FIT_FROM, INTERVALS + 1)}


class DeviceClock:
    """Maps a device's time to the session's; both in ns, both integers.

    Constant time for each pair, constant memory. Samples that a device lost without reporting it (its count
    stands still while time passes) show as three intervals in a row away from the line by more than 20 ms,
    on the same side: the line restarts there with its present slope.

    Attributes:
        drift: how much more the session's clock advances than the device's, as a ratio: 100e-6 is 100 ppm.
    """

    def __init__(self) -> None:
        self.drift = 0.0
        self._origin = (0, 0)  # device's, session's time of the first pair: floats count from there
        self._empty = True
        self._offset = 0.0  # ns; of the line, at the origin
        # Per interval, the pair of least delay: device's time, session's minus device's, from the origin.
        self._least: deque[tuple[float, float]] = deque(maxlen=INTERVALS)
        self._interval = 0
        self._best = (0.0, 0.0)  # of the interval that is not finished
        self._away = 0  # intervals in a row later than the line; earlier ones negative
        self._last: int | None = None  # time returned

    def observe(self, device: int, host: int) -> None:
        """Add a pair: at `device` ns of its own count the session's clock showed `host`, or less."""
        if self._empty:
            self._empty = False
            self._origin = (device, host)
            self._interval, self._best = device // INTERVAL, (0.0, 0.0)
            return
        x = float(device - self._origin[0])
        pair = (x, host - self._origin[1] - x)
        if device // INTERVAL != self._interval:
            self._finish_interval()
            self._interval, self._best = device // INTERVAL, pair
        elif self._delay(pair) < self._delay(self._best):
            self._best = pair
        if len(self._least) < FIT_FROM:
            self._offset = min(self._offset, self._level(pair))

    def time(self, device: int) -> int | None:
        """The session's time of `device` ns on the device's own count; call in order, after the first pair.

        Never less than any time returned before. None where that would be wrong by more than 20 ms: the times
        returned so far were too late, and this one is already in use.
        """
        x = device - self._origin[0]
        time = self._origin[1] + x + round(self._offset + self.drift * x)
        if self._last is not None and time < self._last:
            return None if self._last - time > STEP else self._last
        self._last = time
        return time

    def restart(self) -> None:
        """The device lost an unknown number of samples: forget all but its drift and the last time."""
        self._empty = True
        self._offset = 0.0
        self._least.clear()
        self._away = 0

    def _level(self, pair: tuple[float, float]) -> float:
        """The offset of a line of the present slope through a pair."""
        return pair[1] - self.drift * pair[0]

    def _delay(self, pair: tuple[float, float]) -> float:
        return self._level(pair) - self._offset

    def _finish_interval(self) -> None:
        delay = self._delay(self._best)
        sign = int(delay > STEP) - int(delay < -STEP)
        self._away = self._away + sign if sign * self._away >= 0 and sign else sign
        self._least.append(self._best)
        if abs(self._away) == AWAY:
            since = list(self._least)[-AWAY:]
            self._least.clear()
            self._least.extend(since)
            self._away = 0
            self._offset = min(map(self._level, since))
        if len(self._least) >= FIT_FROM:
            self._fit()

    def _fit(self) -> None:
        x, y = np.array(self._least).T
        i, j = _PAIRS[len(x)]
        slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))
        self.drift = min(max(slope, -MAX_DRIFT), MAX_DRIFT)
        self._offset = float(np.sort(y - self.drift * x)[int(TOO_EARLY * len(x))])
