"""Behaviour of simulated people in a conversation, depending on their engagement.

| behaviour | with more engagement | direction after | size |
|---|---|---|---|
| own turns | more speech in longer turns, shorter pauses | CONVERSE, Hazumi | fitted to CONVERSE |
| partner's turns | shorter pauses, more overlap, not more speech | CONVERSE | fitted to CONVERSE |
| loudness, of a session | louder | MIT interviews | fitted, r 0.52 |
| mean pitch, of a session | higher | MIT interviews | fitted, r 0.17 |
| spread of pitch, of a session | narrower | MIT interviews | fitted, r −0.10 |
| back-channels while listening | as often | CONVERSE (r 0.00) | 1 a minute, as there |
| smiles, raised brows | hardly more often | Hazumi (r 0.03, 0.07) | fitted |
| blinks | as often; more while speaking | Hazumi; Bentivoglio et al. 1997 | 26 and 17 a minute, there |
| mouth | open in speech | Hazumi (r 0.38) | own choice |
| gaze to the partner | longer to, shorter away, less often down | Argyle & Cook 1976 | own choice |
| gaze while speaking | less to the partner than while listening | Kendon 1967 | own choice |
| nods while listening | more often | Hadar et al. 1985; Rich et al. 2010 | own choice |
| leaning forward | closer | Mota & Picard 2003; Sanghvi et al. 2011 | own choice |
| engagement itself | lasts 25 to 75 s | CONVERSE's ratings | fitted to their autocorrelation |

CONVERSE, Hazumi and the MIT interviews are ratings of real people; `benchmarks/simulated_effects.py` prints
their correlations beside those of simulated people. Fitted: so that these agree about. The numbers of speech
are in `turn_taking.py`, of the voice in `simulated_voice.py`, of people's differences in `people.py`. How
raters are late, noisy and on scales of their own is no part of these people: `study/simulated_raters.py`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from .people import Array, People
from .turn_taking import PARTNER, SELF, Flags, take_turns

MEMORY: Final = (25.0, 75.0)  # s


class Behaviour(NamedTuple):
    """Behaviour at each tick, each `[T, P]`.

    Attributes:
        engagement: on [0, 1]; the ground truth.
        speaking, partner: who speaks; a back-channel counts as speaking.
        gaze_x, gaze_y: rad from the camera, right and up in the image; 0 is at the partner.
        nod: rad of pitch, downwards positive.
        smile, brow, blink: 0 to about 1.
        lean: cm towards the camera.
    """

    engagement: Array
    speaking: NDArray[np.bool_]
    partner: NDArray[np.bool_]
    gaze_x: Array
    gaze_y: Array
    nod: Array
    smile: Array
    brow: Array
    blink: Array
    lean: Array


def draw_engagement(rng: np.random.Generator, count: int, ticks: int, rate: int) -> Array:
    """Engagement on [0, 1], `[T, P]`: the logistic function of an Ornstein–Uhlenbeck process whose time
    constant is 25 to 75 s, around a mean of each session, with a jump about once a minute."""
    level = rng.normal(0.3, 0.7, count)
    memory = np.exp(-1 / (rate * rng.uniform(*MEMORY, count)))
    jumps = (rng.random((ticks, count)) < 1 / (60 * rate)) * rng.normal(0, 1.2, (ticks, count))
    kicks = rng.standard_normal((ticks, count)) * np.sqrt(1 - memory**2) + jumps
    deviation = rng.standard_normal(count)
    out = np.empty((ticks, count))
    for t in range(ticks):
        deviation = memory * deviation + kicks[t]
        out[t] = level + deviation
    return _f32(1 / (1 + np.exp(-out)))


def behave(rng: np.random.Generator, people: People, y: Array, rate: int) -> Behaviour:
    """Behaviour of these people given their engagement `y`, `[T, P]`."""
    turns = take_turns(rng, people, y, rate)
    listening = turns.speaker == PARTNER
    gaze_x, gaze_y = _gaze(rng, people, y, turns.speaker, rate)

    def events(per_minute: Array) -> Array:
        """Impulses of about 1 at that rate."""
        return _f32((rng.random(y.shape) < per_minute / (60 * rate)) * rng.lognormal(0, 0.3, y.shape))

    rates = event_rates(people, y, turns.own, listening)
    nods, smiles, brows, blinks, backchannels = (events(per_minute) for per_minute in rates.values())
    seconds = np.arange(round(1.2 * rate))[:, None] / rate
    nod_shape = np.exp(-seconds / 0.35) * np.sin(2 * np.pi * people.nod_frequency * seconds)
    lean = _smooth(y - 0.5, np.exp(-1 / (4 * rate))) * 6 * people.gains["lean"]
    return Behaviour(
        engagement=y,
        speaking=turns.own | (_follow(backchannels, np.ones((round(0.4 * rate), 1))) > 0.1),
        partner=turns.partner,
        gaze_x=gaze_x,
        gaze_y=gaze_y,
        nod=0.07 * _follow(nods, nod_shape),
        smile=_f32(np.tanh(_follow(smiles, _bump(rate, rise=0.4, hold=1.8, fall=1.0)))),
        brow=_f32(np.tanh(_follow(brows, _bump(rate, rise=0.15, hold=0.3, fall=0.3)))),
        blink=_f32(np.tanh(_follow(blinks, _bump(rate, rise=0.06, hold=0.06, fall=0.12)))),
        lean=_f32(lean),
    )


def event_rates(people: People, y: Array, speaking: Flags, listening: Flags) -> dict[str, Array]:
    """Events a minute, in the order in which they are drawn."""
    gain = people.gains
    return {
        "nods": np.where(listening, 1 + 11 * y, 2) * gain["nod"],
        "smiles": (2 + 0.5 * y) * gain["smile"],
        "brows": (3 + 1.5 * y) * gain["brow"],
        "blinks": np.where(speaking, 26, 17) + 0 * y,
        "back-channels": np.where(listening, 3.0, 0),
    }


def _gaze(
    rng: np.random.Generator, people: People, y: Array, speaker: NDArray[np.int8], rate: int
) -> tuple[Array, Array]:
    """Gaze angles x and y, `[T, P]` each: at the partner and away in turn."""
    ticks, count = y.shape
    away: NDArray[np.bool_] = rng.random((count,)) < 0.4
    left: NDArray[np.float64] = rng.exponential(1.0, (count,))
    x, up = np.zeros(count), np.zeros(count)
    out = np.empty((2, ticks, count))
    for t in range(ticks):
        left -= 1 / rate
        i = np.flatnonzero(left <= 0)
        if i.size:
            engaged = np.clip(0.5 + (y[t, i] - 0.5) * people.gains["gaze"][i], 0, 1)
            turning = ~away[i]
            to = (0.8 + 3.2 * engaged) * np.where(speaker[t, i] == SELF, 0.7, 1.3)
            elsewhere = 2.6 - 1.8 * engaged
            left[i] = 0.2 + np.where(turning, elsewhere, to) * rng.exponential(size=i.size)
            down = rng.random(i.size) < 0.35 + 0.35 * (1 - engaged)
            side = rng.choice([-1, 1], i.size) * rng.uniform(0.1, 0.6, i.size)
            x[i] = np.where(turning, side * np.where(down, 0.5, 1), 0)
            up[i] = np.where(
                turning, np.where(down, -rng.uniform(0.15, 0.5, i.size), rng.normal(0, 0.1, i.size)), 0
            )
            away[i] = turning
        out[:, t] = x, up
    return _smooth(out[0], 0.3 ** (25 / rate)), _smooth(out[1], 0.3 ** (25 / rate))


def autoregressive(noise: Array, memory: NDArray[np.floating] | float) -> Array:
    """A stationary first-order autoregressive process of unit variance along axis 0, from white noise of
    unit variance; `memory` is its correlation from one tick to the next, broadcast over the other axes."""
    out = np.empty_like(noise)
    memory = np.asarray(memory, np.float32)
    fresh = np.sqrt(1 - memory**2)
    out[0] = value = noise[0]
    for t in range(1, len(noise)):
        value = memory * value + fresh * noise[t]
        out[t] = value
    return out


def _smooth(x: NDArray[np.floating], memory: float) -> Array:
    """First-order low-pass along axis 0."""
    out = np.empty(x.shape, np.float32)
    value = x[0]
    for t in range(len(x)):
        value = memory * value + (1 - memory) * x[t]
        out[t] = value
    return out


def _follow(impulses: Array, shape: NDArray[np.floating]) -> Array:
    """Convolution of impulses with a shape `[n, P]` or `[n, 1]`."""
    return _f32(
        fftconvolve(impulses, np.broadcast_to(shape, (len(shape), impulses.shape[1])), axes=0)[
            : len(impulses)
        ]
    )


def _bump(rate: int, *, rise: float, hold: float, fall: float) -> NDArray[np.float64]:
    """A trapezoid from 0 to 1 and back, `[n, 1]`; times in seconds."""
    t = np.arange(1, round((rise + hold + fall) * rate) + 1) / rate
    return np.clip(np.minimum(t / rise, (rise + hold + fall - t) / fall), 0, 1)[:, None]


def _f32(x: NDArray[np.floating]) -> Array:
    return x.astype(np.float32)
