"""Audio features, schema `audio/1`: one causal vector per 40 ms of sound.

Each vector describes the 640 samples that end at its originating time:

`mel00` … `mel39`
    Natural logarithm of the power in 40 mel filters from 20 to 7600 Hz, as Kaldi computes it (samples scaled
    to ±32768, 25 ms Povey window every 10 ms, pre-emphasis 0.97, offset removed), no dither. Mean over the
    windows whose last sample lies within the tick, each floored at 0. White noise at the level of 16-bit
    rounding is −4 in the lowest filter and 7 in the highest.
`level`
    Root mean square, dB re full scale (RMS 1.0 is 0 dBFS, a sine of amplitude 1 is −3.01), floored at −96.
`f0`
    Semitones re 100 Hz (12 · log2(f / 100)) of the last 50 ms (see `pitch`); while unvoiced, the last voiced
    value; 0 before the first.
`voicing`
    0 to 1: height of the autocorrelation's peak; 0 below −60 dBFS. A tick is voiced from 0.45.
`speech`
    Share of the tick's four 10 ms segments that WebRTC's voice activity detector (mode 2) calls speech.
"""

import math
from collections import Counter
from typing import Final

import kaldi_native_fbank as knf
import numpy as np
import webrtcvad
from numpy.typing import NDArray

from ...contracts.schemas import AUDIO, MEL_BINS
from ..streams.samples import SECOND, Sample, Sound
from .pitch import VOICED, WINDOW, pitch
from .resampling import RATE, TOLERANCE

TICK: Final = 640  # samples: 40 ms
MUTED_AFTER: Final = RATE // 2  # samples: after 0.5 s without signal the modality is missing
SILENCE: Final = -60.0  # dBFS: below it nothing is voiced; a periodic signal is mains hum

_PERIOD: Final = SECOND // RATE  # ns per sample, exact
_FULL_SCALE: Final = 32768.0  # steps of 16 bits
_MUTED: Final = 2 / _FULL_SCALE  # peak to peak: rounding and dither of one step each way
_LEVEL_FLOOR: Final = -96.0  # dBFS: one step of 16 bits is −90.3
_VAD_FRAME: Final = 160  # samples: 10 ms
_VAD_MODE: Final = 2  # of 0 (least strict) to 3

_LEVEL, _F0, _VOICING, _SPEECH = (AUDIO.index(name) for name in ("level", "f0", "voicing", "speech"))


class AudioFeatures:
    """Turns sound, in blocks of any size, into one sample per 40 ms.

    Sample n = 1, 2, … covers the 640 audio samples that end at its originating time, `start + n · 40 ms`;
    `start` is the originating time of the first block. The size of the blocks does not change the result.
    A block more than 20 ms later than expected follows a gap: the unfinished tick is dropped, and grid and
    state start again at the new time. From a block more than 20 ms early the overlap is cut. Smaller
    deviations are jitter and ignored: time is counted in audio samples.

    Values are None while the last 0.5 s, the tick included, stay within two steps of 16 bits: digital silence
    or a muted microphone. The first tick with a signal has values again.

    Every sample pushed is in a vector, in `dropped` or `waiting`: pushed = 640 · vectors + dropped + waiting.

    Attributes:
        dropped: samples that are in no vector, by reason: cut off since its time was covered
            (`overlap`), or less than a tick before a gap or the end (`unfinished`).
    """

    def __init__(self, modality: str) -> None:
        self._modality = modality
        self._sequence = 0
        self._state: _State | None = None
        self.dropped: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Samples of the unfinished tick."""
        return 0 if self._state is None else self._state.waiting.size

    def push(self, sound: Sound) -> list[Sample]:
        """Add the next block; return the samples of the ticks that it completes."""
        samples = sound.samples
        if samples.size == 0:
            return []
        state = self._state
        if state is None or sound.originating_time - state.expected > TOLERANCE:
            self.finish()
            state = self._state = _State(sound.originating_time)
        elif (early := state.expected - sound.originating_time) > TOLERANCE:
            samples = samples[round(early / _PERIOD) :]
            self.dropped["overlap"] += sound.samples.size - samples.size

        waiting = np.concatenate((state.waiting, samples))
        whole = waiting.size - waiting.size % TICK
        state.waiting = waiting[whole:]
        result = []
        for tick in waiting[:whole].reshape(-1, TICK):
            values = state.advance(tick)
            result.append(Sample(self._modality, state.time, values, self._sequence))
            self._sequence += 1
        return result

    def finish(self) -> None:
        """End the sound: the unfinished tick is dropped. Sound after it begins a new grid."""
        if unfinished := self.waiting:
            self.dropped["unfinished"] += unfinished
        self._state = None


class _State:
    """State of the extraction since the last gap."""

    def __init__(self, start: int) -> None:
        self.time = start  # ns: end of the last whole tick
        self.waiting = np.empty(0, np.float32)  # sound after it, less than a tick
        self._recent = np.zeros(MUTED_AFTER, np.float32)  # the last 0.5 s; zeros before the first sound
        self._heard = 0  # samples
        self._f0 = 0.0
        options = knf.FbankOptions()
        options.frame_opts.dither = 0
        options.frame_opts.snip_edges = True  # window i starts at sample 160 i: no reflection, no look-ahead
        options.mel_opts.num_bins = MEL_BINS
        options.mel_opts.low_freq = 20
        options.mel_opts.high_freq = 7600
        self._fbank = knf.OnlineFbank(options)
        self._windows = 0  # of the filter bank, used so far
        self._vad = webrtcvad.Vad(_VAD_MODE)

    @property
    def expected(self) -> int:
        """Originating time of the next block, ns."""
        return self.time + self.waiting.size * _PERIOD

    def advance(self, tick: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The features of the next tick, float32 `[640]` → `[44]`; None without signal."""
        self.time += TICK * _PERIOD
        self._heard += TICK
        self._recent[:-TICK] = self._recent[TICK:]
        self._recent[-TICK:] = tick

        values = np.empty(AUDIO.dim, np.float32)
        values[:MEL_BINS] = self._mel(tick)
        level = _level(tick)
        frequency, strength = pitch(self._recent[-WINDOW:]) if level > SILENCE else (0.0, 0.0)
        if strength >= VOICED:
            self._f0 = 12 * math.log2(frequency / 100)
        values[_LEVEL] = level
        values[_F0] = self._f0
        values[_VOICING] = strength
        values[_SPEECH] = self._speech(tick)
        muted = self._heard >= MUTED_AFTER and np.ptp(self._recent) <= _MUTED
        return None if muted else values

    def _mel(self, tick: NDArray[np.float32]) -> NDArray[np.float32]:
        self._fbank.accept_waveform(RATE, (tick * _FULL_SCALE).tolist())
        ready = self._fbank.num_frames_ready
        windows = [self._fbank.get_frame(i) for i in range(self._windows, ready)]
        mel: NDArray[np.float32] = np.maximum(windows, np.float32(0)).mean(axis=0)
        self._fbank.pop(ready - self._windows)  # otherwise it keeps every window
        self._windows = ready
        return mel

    def _speech(self, tick: NDArray[np.float32]) -> float:
        steps = np.clip(np.rint(tick * _FULL_SCALE), -32768, 32767).astype(np.int16)
        segments = steps.reshape(-1, _VAD_FRAME)
        return sum(bool(self._vad.is_speech(s.tobytes(), RATE)) for s in segments) / len(segments)


def _level(tick: NDArray[np.float32]) -> float:
    power = float(np.mean(np.square(tick, dtype=np.float64)))
    return max(10 * math.log10(power), _LEVEL_FLOOR) if power > 0 else _LEVEL_FLOOR
