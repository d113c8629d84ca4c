"""The sound of a simulated conversation: two voices of espeak-ng in the simulated turns.

Each turn has as many words as fit, at the simulated turn's mean pitch, its spread of pitch and, smoothed over
a second, its level; between turns there is noise at the level of the simulated room. What espeak-ng's voices
cannot do is left out: the simulated colour of voices and the course of pitch within a turn.
"""

import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.schemas import AUDIO
from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.features.resampling import RATE as ANALYSED
from enrapt.realtime.streams.samples import Sound

Array = NDArray[np.float64]

RATE: Final = 22_050  # samples/s, espeak-ng's
WORDS: Final = 2.7  # a second
SHORT: Final = 0.7  # s; a shorter turn is a back-channel
LOUDEST: Final = 0.9

OWN: Final = (
    "Hello! I am a simulated person. My face is a portrait from NASA's archive, and a program moves it. "
    "My voice is a computer's. How engaged I am was decided before anything else: I look at you, I nod, I "
    "pause and I talk accordingly. So for once the truth is known, and the plot can draw it beside the "
    "estimate. It is not always close to it. Somewhere my face goes out of sight, and later my sound is off. "
    "Watch the interval then. "
)
PARTNERS: Final = (
    "And I am the partner, and nobody sees me. While I talk the other one listens: looks at me, looks away, "
    "nods, and takes a turn. All of that depends on how engaged a simulated person is, and a model "
    "that has seen many of them estimates it, twenty five times a second, from pictures and sound alone. "
    "Nothing of this has been tried on people like you. Real engagement is a different matter, so do not "
    "believe a number because it is drawn so nicely. Look at the interval first: it says how sure the model "
    "is, and a model that is sure of itself can be wrong as well. "
)
ALOUD: Final = ("Yes.", "Mm-hm.", "Right.", "I see.")


def sound(
    values: NDArray[np.float32], own: NDArray[np.bool_], partner: NDArray[np.bool_], rate: int
) -> Array:
    """Samples at `RATE`, full scale ±1.

    Args:
        values: `[T, 44]` of `audio/1`, simulated.
        own, partner: `[T]`, who speaks at each tick.
    """
    level, f0 = (values[:, AUDIO.index(name)].astype(float) for name in ("level", "f0"))
    ticks, each = len(level), RATE / rate
    room = float(np.median(level[~own & ~partner]))
    total = np.zeros(round(ticks * each))
    # The simulated partner is spoken over by back-channels.
    for voice, speaks, text in (("en-us", own, OWN), ("en-gb-x-rp", partner & ~own, PARTNERS)):
        low, high = (_pitch(spoken("And now we know how low or high I am", voice, p)) for p in (0, 99))
        words, at = text.split(), 0
        for turn, (first, end) in enumerate(runs(speaks)):
            seconds = (end - first) / rate
            count = max(round(seconds * WORDS), 1)
            chosen = [words[(at + k) % len(words)] for k in range(count)]
            said = ALOUD[turn % len(ALOUD)] if seconds < SHORT else " ".join(chosen)
            at += count if seconds >= SHORT else 0
            heard = f0[first:end]
            wanted = float(np.median(heard))
            setting = 99 * float(np.clip((wanted - low) / (high - low), 0, 1))
            extent = float(np.clip(100 * np.std(heard[np.abs(heard - wanted) < 9]) / 3, 20, 200))
            start = round(first * each)
            part = fitted(said, voice, setting, extent, round(end * each) - start)
            gain = _smooth(level[first:end] - _levels(part, end - first), rate)
            clock = np.arange(part.size) / each
            decibels = np.interp(clock, np.arange(end - first), gain)
            total[start : start + part.size] += part * 10 ** (decibels / 20)
    noise = np.random.default_rng(0).normal(size=total.size)
    noise = np.convolve(noise, 0.8 ** np.arange(40), "same")  # more low frequencies than high ones
    total += noise / noise.std() * 10 ** (room / 20)
    return np.clip(total, -LOUDEST, LOUDEST)


def runs(of: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First tick, and tick after the last, of each unbroken stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], of.astype(int), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def fitted(text: str, voice: str, pitch: float, extent: float, samples: int) -> Array:
    """The text spoken in that many samples: faster or slower, and where that is not enough, cut."""
    speed = 165.0
    for _ in range(3):
        part = spoken(text, voice, pitch, extent, speed)
        if abs(part.size - samples) < 0.03 * samples:
            break
        speed = float(np.clip(speed * part.size / samples, 100, 260))
    out = np.zeros(samples)
    out[: part.size] = part[:samples]
    ramp = min(200, samples)
    out[-ramp:] *= np.linspace(1, 0, ramp)
    return out


def spoken(text: str, voice: str, pitch: float, extent: float = 100.0, speed: float = 165.0) -> Array:
    """Samples of a voice of espeak-ng.

    Args:
        pitch: espeak-ng's, 0 to 99.
        extent: of pitch, per cent of the voice's own.
        speed: words a minute.
    """
    marked = f'<speak><prosody range="{extent:.0f}%">{text}</prosody></speak>'
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "voice.wav"
        command = ["espeak-ng", "-m", "-v", voice, "-p", f"{pitch:.0f}", "-s", f"{speed:.0f}", "-w", file]
        subprocess.run([*command, marked], check=True)
        with wave.open(str(file)) as wav:
            assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE, 1, 2)
            samples = np.frombuffer(wav.readframes(wav.getnframes()), np.int16)
    return np.trim_zeros(samples) / 32768


def measured(samples: Array) -> NDArray[np.float32]:
    """Features `audio/1` of samples at `RATE`, `[ticks, 44]`."""
    clock = np.arange(int(samples.size * ANALYSED / RATE)) / ANALYSED
    resampled = np.interp(clock * RATE, np.arange(samples.size), samples).astype(np.float32)
    found = AudioFeatures("voice").push(Sound(0, resampled))
    return np.array([s.values for s in found if s.values is not None])


def _pitch(samples: Array) -> float:
    """Median of voiced ticks, semitones re 100 Hz."""
    values = measured(samples)
    return float(np.median(values[values[:, AUDIO.index("voicing")] > 0.45, AUDIO.index("f0")]))


def _levels(samples: Array, ticks: int) -> Array:
    """dBFS of each tick, `[ticks]`."""
    parts = np.array_split(samples, ticks)
    return np.array([10 * np.log10(max(float(np.mean(part**2)), 1e-5)) for part in parts])


def _smooth(x: Array, width: int) -> Array:
    """The mean over `width` around each value, of those that there are."""
    ones = np.ones(min(width, len(x)))
    return np.convolve(x, ones, "same") / np.convolve(np.ones(len(x)), ones, "same")
