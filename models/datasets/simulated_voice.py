"""A simulated microphone in the units of `audio/1`.

Sources are the person, the partner from a loudspeaker (quieter) and room noise. A spectrum is a mean shape
plus an individual colour, and for speech the covariance of real speech (`moments.json`); the sources add in
power. Voicing, pitch and voice activity follow from the speaker and the level above the room noise.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import AUDIO, MEL_BINS
from ..missing import bursts
from .behaviour import Behaviour, autoregressive
from .people import Array, People, draw_pitch

TO_NATS: Final = np.float32(np.log(10) / 10)  # ln power per dB
VOICED: Final = 0.45  # voicing above which `audio/1` treats a tick as voiced
QUIET: Final = -60.0  # dBFS below which it treats none as voiced
FLOOR: Final = -96.0  # dBFS
MUTE_DELAY: Final = 0.5  # s after which digital silence counts as missing
# From a session of engagement 0 to one of 1, so that the correlations are those of the MIT interviews.
LOUDER: Final = 9.5  # dB
HIGHER: Final = 3.8  # semitones
FLATTER: Final = 1.0  # exponent of the spread of pitch


def voice(
    rng: np.random.Generator, people: People, behaviour: Behaviour, moments: dict[str, Any], rate: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Values `[T, P, 44]`, and where there is sound, `[T, P]`."""
    ticks, count = behaviour.engagement.shape
    speech = {k: np.array(v, np.float32) for k, v in moments["speech"].items()}
    noise = {k: np.array(v, np.float32) for k, v in moments["noise"].items()}
    slower = 25 / rate
    self_speaks = behaviour.speaking
    heard = self_speaks | behaviour.partner

    # Levels, dBFS.
    mic = rng.normal(-22, 5.3, count)
    leak = rng.uniform(8, 50, count)
    room = np.clip(mic - rng.normal(24, 9, count), -85, -28)
    contour = 2.5 * autoregressive(_normal(rng, ticks, count), float(np.exp(-1 / rate)))
    syllables = 8.5 * autoregressive(_normal(rng, ticks, count), 0.75**slower)
    louder = loudness(people, behaviour.engagement)
    talk = np.clip(mic + contour + syllables + np.where(self_speaks, louder, -leak), FLOOR, -3)
    talk = np.where(heard, talk, -120).astype(np.float32)
    hiss = room + 1.5 * autoregressive(_normal(rng, ticks, count), float(np.exp(-1 / (5 * rate))))
    hiss = (hiss + 2.0 * autoregressive(_normal(rng, ticks, count), 0.3**slower)).astype(np.float32)
    level = np.maximum(np.logaddexp(talk * TO_NATS, hiss * TO_NATS) / TO_NATS, FLOOR)
    above = talk - hiss  # dB of the talker above the room

    # Spectra: ln power per filter.
    voiced = ~bursts(rng, count, ticks, 0.15 * rate, 0.25 * rate).T & heard
    shape = np.where(voiced[..., None], speech["voiced"], speech["unvoiced"])
    colours = 1.3 * np.stack([_colour(rng, count) for _ in range(2)]) * np.maximum(speech["between"], 0.5)
    shape = shape + np.where(self_speaks[..., None], colours[0], colours[1])
    loadings = speech["factors"]
    shape += (
        autoregressive(_normal(rng, ticks, count, len(loadings)), speech["factor_memory"] ** slower)
        @ loadings
    )
    shape += speech["rest"] * _normal(rng, ticks, count, MEL_BINS)
    hum = noise["mean"] + _colour(rng, count) * np.maximum(noise["between"], 1.0)
    hum = hum + 0.6 * noise["within"] * _normal(rng, ticks, count, MEL_BINS)
    mel = np.logaddexp(shape + TO_NATS * talk[..., None], hum + TO_NATS * hiss[..., None])

    # Voicing and pitch.
    clear = 1 / (1 + 10 ** (-above / 10))  # the talker's share of the power
    periodic = np.clip(rng.normal(0.93, 0.07, (ticks, count)), 0, 1) * clear
    tonal = np.abs(rng.normal(0, 1, (ticks, count))) * rng.lognormal(np.log(0.05), 0.8, count)
    aperiodic = np.maximum(tonal, np.where(heard, rng.normal(0.15, 0.15, (ticks, count)), 0))
    strength = np.where(level > QUIET, np.clip(np.where(voiced, periodic, aperiodic), 0, 1), 0)
    pitch = _pitch(rng, people, behaviour, rate)
    pitch = _held(np.where(strength >= VOICED, pitch, np.nan))

    # Voice activity: the probability that a 10 ms frame is classified as speech.
    chance = 0.98 / (1 + np.exp(-(above - 5) / 2)) + rng.beta(1, 15, count)
    active = rng.binomial(4, np.clip(chance, 0, 1)) / 4

    values = np.empty((ticks, count, AUDIO.dim), np.float32)
    values[..., :MEL_BINS] = np.maximum(mel, 0)
    for name, column in (("level", level), ("f0", pitch), ("voicing", strength), ("speech", active)):
        values[..., AUDIO.index(name)] = column
    return _mute(rng, values, rate)


def loudness(people: People, y: Array) -> Array:
    """Of the person's speech, dB from what the microphone gives of others, `[P]`. Whole sessions are louder,
    not the moments: in Hazumi, loudness does not change with enjoyment within people (r 0.01)."""
    return people.loudness + LOUDER * (y.mean(0) - 0.5) * people.gains["voice"]


def mean_pitch(people: People, y: Array) -> Array:
    """Semitones re 100 Hz, `[P]`; of the whole session, as in the MIT interviews."""
    return people.pitch + HIGHER * (y.mean(0) - 0.5) * people.gains["voice"]


def melody(people: People, y: Array) -> Array:
    """Spread of pitch, semitones, `[P]`; likewise."""
    return people.melody * np.exp(-FLATTER * (y.mean(0) - 0.5) * people.gains["voice"])


def _pitch(rng: np.random.Generator, people: People, behaviour: Behaviour, rate: int) -> Array:
    """Semitones re 100 Hz, `[T, P]`: around a talker's mean, with occasional octave errors, as pitch trackers
    make."""
    y = behaviour.engagement
    ticks, count = y.shape
    course = autoregressive(_normal(rng, ticks, count), float(np.exp(-1 / (0.3 * rate))))
    own = behaviour.speaking
    pitch = np.where(own, mean_pitch(people, y), draw_pitch(rng, count))
    pitch += course * np.where(own, melody(people, y), 2.5)
    wrong = (rng.random((ticks, count)) < 0.05) * rng.choice([-12.0, 12.0], (ticks, count))
    tracked: Array = np.clip(pitch + wrong, -8.8, 27.8).astype(np.float32)  # 60 to 500 Hz
    return tracked


def _held(pitch: Array) -> Array:
    """The last finite value, 0 before the first."""
    out = np.empty_like(pitch)
    last = np.zeros(pitch.shape[1], pitch.dtype)
    for t, now in enumerate(pitch):
        last = np.where(np.isnan(now), last, now)
        out[t] = last
    return out


def _mute(rng: np.random.Generator, values: Array, rate: int) -> tuple[Array, NDArray[np.bool_]]:
    """Mute some microphones at times: floor values for half a second, then missing."""
    ticks, count, _ = values.shape
    every = np.where(rng.random(count) < 0.2, rng.lognormal(np.log(40), 0.5, count), 1e9)
    muted = bursts(rng, count, ticks, 5.0 * rate, every * rate).T
    since = np.zeros(count)  # s
    available = np.empty((ticks, count), bool)
    pitch = values[..., AUDIO.index("f0")].copy()
    for t in range(ticks):
        since = np.where(muted[t], since + 1 / rate, 0)
        available[t] = since < MUTE_DELAY
        if t:
            pitch[t] = np.where(muted[t], pitch[t - 1], pitch[t])
    floor = np.zeros(AUDIO.dim, np.float32)
    floor[AUDIO.index("level")] = FLOOR
    values = np.where(muted[..., None], floor, values)
    values[..., AUDIO.index("f0")] = pitch
    return values, available


def _colour(rng: np.random.Generator, count: int) -> Array:
    """Smooth random spectra of unit variance, `[P, 40]`."""
    return autoregressive(_normal(rng, MEL_BINS, count), 0.93).T


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, np.float32)
