"""Behaviour of simulated people in a conversation, depending on their engagement.

| behaviour | with more engagement | after |
|---|---|---|
| gaze to the partner | longer to, shorter away, less often down | Argyle & Cook 1976; Nakano & Ishii 2010 |
| gaze while speaking | less to the partner than while listening | Kendon 1967 |
| nods while listening | more often | Hadar, Steiner & Rose 1985; Rich et al. 2010 |
| smiles, raised brows | more often | Sanghvi et al. 2011; Ekman 1979 |
| blinks, droop of the lids | fewer, less | Ranti et al. 2020; Wierwille & Ellsworth 1994 |
| leaning forward | closer | Mota & Picard 2003; Sanghvi et al. 2011 |
| back-channels while listening | more often | Ward & Tsukahara 2000; Rich et al. 2010 |
| response delay | shorter | Stivers et al. 2009; Rich et al. 2010 |
| turns | taken more readily, longer | Oertel et al. 2011 |
| loudness, range of pitch | louder, wider | Wrede & Shriberg 2003 |

The papers give the directions, and some the frequencies. The effect sizes below are our own choice, not
measured on people.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

Array = NDArray[np.float32]

GAP, SELF, PARTNER = 0, 1, 2  # the speaker


class People(NamedTuple):
    """Differences between simulated people, each `[P]`.

    Attributes:
        expressiveness: factor on facial actions.
        gains: factor on each other effect of engagement, by its name in `behave`.
        talkative: factor on the length of turns.
        head_share: share of a gaze shift made by the head; the eyes make the rest.
        nod_frequency: Hz.
    """

    expressiveness: Array
    gains: dict[str, Array]
    talkative: Array
    head_share: Array
    nod_frequency: Array


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


GAINS: Final = ("gaze", "nod", "smile", "brow", "blink", "lean", "backchannel", "delay", "voice")


def draw_people(rng: np.random.Generator, count: int) -> People:
    return People(
        expressiveness=_lognormal(rng, 1.0, 0.4, count),
        gains={name: _lognormal(rng, 1.0, 0.35, count) for name in GAINS},
        talkative=_lognormal(rng, 1.0, 0.4, count),
        head_share=rng.uniform(0.2, 0.7, count).astype(np.float32),
        nod_frequency=rng.uniform(2.0, 3.5, count).astype(np.float32),
    )


def draw_engagement(rng: np.random.Generator, count: int, ticks: int, rate: int) -> Array:
    """Engagement on [0, 1], `[T, P]`: the logistic function of an Ornstein–Uhlenbeck process whose time
    constant is 15 to 60 s, around a mean of each session, with a jump about once a minute."""
    level = rng.normal(0.3, 0.7, count)
    memory = np.exp(-1 / (rate * rng.uniform(15, 60, count)))
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
    speaker = _turns(rng, people, y, rate)
    listening = speaker == PARTNER
    gaze_x, gaze_y = _gaze(rng, people, y, speaker, rate)
    gain = people.gains

    def events(per_minute: Array, name: str) -> Array:
        """Impulses of about 1 at that rate, scaled by the person's gain."""
        happen = rng.random(y.shape) < per_minute * gain[name] / (60 * rate)
        return _f32(happen * rng.lognormal(0, 0.3, y.shape))

    nods = events(np.where(listening, 1 + 11 * y, 2), "nod")
    seconds = np.arange(round(1.2 * rate))[:, None] / rate
    nod_shape = np.exp(-seconds / 0.35) * np.sin(2 * np.pi * people.nod_frequency * seconds)
    smiles = events(0.5 + 3.5 * y, "smile")
    brows = events(1 + 4 * y, "brow")
    blinks = events(26 - 14 * y, "blink")
    backchannels = events(np.where(listening, 1 + 9 * y, 0), "backchannel")
    lean = _smooth(y - 0.5, np.exp(-1 / (4 * rate))) * 6 * gain["lean"]
    return Behaviour(
        engagement=y,
        speaking=(speaker == SELF) | (_follow(backchannels, np.ones((round(0.4 * rate), 1))) > 0.1),
        partner=listening,
        gaze_x=gaze_x,
        gaze_y=gaze_y,
        nod=0.07 * _follow(nods, nod_shape),
        smile=_f32(np.tanh(_follow(smiles, _bump(rate, rise=0.4, hold=1.8, fall=1.0)))),
        brow=_f32(np.tanh(_follow(brows, _bump(rate, rise=0.15, hold=0.3, fall=0.3)))),
        blink=_f32(np.tanh(_follow(blinks, _bump(rate, rise=0.06, hold=0.06, fall=0.12)))),
        lean=_f32(lean),
    )


def _turns(rng: np.random.Generator, people: People, y: Array, rate: int) -> NDArray[np.int8]:
    """The speaker, `[T, P]`: a semi-Markov process of turns and gaps."""
    ticks, count = y.shape
    speaker: NDArray[np.int8] = rng.integers(0, 3, (count,)).astype(np.int8)
    following: NDArray[np.int8] = rng.integers(1, 3, (count,)).astype(np.int8)  # the next speaker after a gap
    left: NDArray[np.float64] = rng.exponential(1.0, (count,))  # s until the state changes
    out = np.empty((ticks, count), np.int8)
    for t in range(ticks):
        left -= 1 / rate
        i = np.flatnonzero(left <= 0)
        if i.size:
            now, engaged = speaker[i], y[t, i]
            gap_over = now == GAP
            # After the person's turn the partner mostly replies. After the partner's turn the person replies
            # more often and sooner with more engagement.
            own = now == SELF
            reply = rng.random(i.size) < np.where(own, 0.75, 0.45 + 0.4 * engaged)
            follows = np.where(reply, np.where(own, PARTNER, SELF), now)
            delay = np.where(
                own | ~reply, np.where(reply, 0.4, 0.6), 0.25 + 1.1 * (1 - engaged) * people.gains["delay"][i]
            )
            turn = np.where(
                following[i] == SELF,
                0.4 + (1 + 3 * engaged) * people.talkative[i] * rng.exponential(size=i.size),
                0.4 + 3.5 * rng.exponential(size=i.size),
            )
            left[i] = np.where(gap_over, turn, rng.gamma(2, delay / 2))
            speaker[i] = np.where(gap_over, following[i], GAP)
            following[i] = np.where(gap_over, following[i], follows)
        out[t] = speaker
    return out


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


def _lognormal(rng: np.random.Generator, median: float, sigma: float, count: int) -> Array:
    return _f32(median * rng.lognormal(0, sigma, (count,)))


def _f32(x: NDArray[np.floating]) -> Array:
    return x.astype(np.float32)
