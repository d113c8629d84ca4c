"""Fundamental frequency of one window of sound, by normalised autocorrelation.

P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of
a sampled sound", Proc. Institute of Phonetic Sciences 17, Amsterdam, 1993, pp. 97–110: the method of Praat,
without its path finder, which looks ahead. Two changes compensate for that: a larger octave cost, and power
below the floor counts as noise, so that room rumble, which correlates at every short lag, is not voiced.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .resampling import RATE

FLOOR: Final = 60.0  # Hz
CEILING: Final = 500.0  # Hz
WINDOW: Final = 800  # samples: 50 ms, three periods of the floor
OCTAVE_COST: Final = 0.03  # per octave: of equally good periods the shortest wins; 0.01 in Praat
VOICED: Final = 0.45  # Praat's voicing threshold

# The autocorrelation is evaluated at quarter samples: at whole samples, the narrow peaks of a voice with
# strong harmonics lose more height than the octave cost, and the multiple of the period nearest to a whole
# sample wins.
_UPSAMPLED: Final = 4
_FFT: Final = 1200  # ≥ window + longest lag, against wrap-around; 2⁴ · 3 · 5² is fast
_LAGS: Final = np.arange(int(_UPSAMPLED * RATE / CEILING) - 1, int(_UPSAMPLED * RATE / FLOOR) + 3)
_HANN: Final = np.hanning(WINDOW + 1)[:-1]

# Weight of each frequency: 0 up to half the floor, 1 from the floor, raised cosine between.
_ABOVE_HALF: Final = np.clip(2 * np.fft.rfftfreq(_FFT, 1 / RATE) / FLOOR - 1, 0, 1)
_ABOVE_RUMBLE: Final = (1 - np.cos(np.pi * _ABOVE_HALF)) / 2

# Normalised autocorrelation of the Hann window (Boersma's equation 8).
_U: Final = _LAGS / (_UPSAMPLED * WINDOW)
_WINDOW_CORRELATION: Final = (1 - _U) * (2 + np.cos(2 * np.pi * _U)) / 3 + np.sin(2 * np.pi * _U) / 2 / np.pi
_COST: Final = OCTAVE_COST * np.log2(FLOOR * _LAGS / (_UPSAMPLED * RATE))


def pitch(samples: NDArray[np.floating]) -> tuple[float, float]:
    """Fundamental frequency and periodicity of a window.

    Args:
        samples: `[WINDOW]`, 16 kHz, any scale.

    Returns:
        Frequency in Hz between `FLOOR` and `CEILING`, and the height of the autocorrelation's peak there, 0
        to 1: the periodic share of the power. (0, 0) if the autocorrelation has no peak.
    """
    windowed = (samples - samples.mean()) * _HANN
    power = float(windowed @ windowed)
    if power == 0:
        return 0.0, 0.0
    spectrum = np.fft.rfft(windowed, _FFT)
    spectrum = (spectrum.real**2 + spectrum.imag**2) * _ABOVE_RUMBLE
    correlation = _UPSAMPLED * np.fft.irfft(spectrum, _UPSAMPLED * _FFT)[_LAGS]
    r = correlation / (power * _WINDOW_CORRELATION)

    left, middle, right = r[:-2], r[1:-1], r[2:]
    peaks = np.flatnonzero((middle > left) & (middle >= right) & (middle > 0))
    if peaks.size == 0:
        return 0.0, 0.0
    left, middle, right = left[peaks], middle[peaks], right[peaks]
    offset = (right - left) / (2 * (2 * middle - left - right))  # of the parabola's maximum, in ±½
    height = middle + (right - left) * offset / 4
    best = int(np.argmax(height - _COST[1:-1][peaks]))
    lag = (_LAGS[1 + peaks[best]] + offset[best]) / _UPSAMPLED
    return float(np.clip(RATE / lag, FLOOR, CEILING)), float(min(height[best], 1.0))
