"""Turn-taking of simulated people and their partners, by CONVERSE.

One of the two holds the floor: utterances with pauses between them, until the other takes over, after a gap
or before the end. The other's back-channels are in `behaviour.py` (the person's) and here (the partner's).

Measured on CONVERSE's 111 ten-minute conversations of 38 people (`benchmarks/simulated_effects.py`):

| number | people |
|---|---|
| own utterance | 0.4, 0.9, 1.8, 3.0 and 5.2 s (5, 25, 50, 75, 95 %) |
| partner's utterance, with back-channels | 0.4, 0.6, 1.1, 2.5, 6.2 s |
| own pause | 0.2, 0.4, 0.6, 1.0, 2.2 s |
| partner's pause | 0.2, 0.4, 0.7, 1.2, 2.8 s |
| gap before the person's utterance, negative: overlap | −1.3, −0.2, 0.3, 1.1, 3.2 s |
| gap before the partner's | −3.1, −0.8, 0.2, 0.8, 2.5 s |
| the person's turn, with pauses | 20.7 s in the mean |
| who speaks | the person 48 % of the time, the partner 30 %, both 4 % |

What engagement changes was fitted so that the correlations with ratings are those of people. That the
partner too pauses less, and the spread between people, see `People`, are measured in the same data; that
engagement acts by pauses and by who goes on, not by the length of utterances, is our own choice.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .people import Array, People

GAP, SELF, PARTNER = 0, 1, 2  # the speaker

UTTERANCE: Final = 0.2, 1.4, 1.4  # s: own, at least; shape and scale of the gamma distribution beyond that
PARTNERS_UTTERANCE: Final = 0.4, 1.0, 2.4
PAUSE, PARTNERS_PAUSE = (0.63, 0.7), (0.7, 0.75)  # s: median; spread of its logarithm
RESPONSE: Final = 0.7, 1.0  # s: of gaps between speakers
OVERLAP: Final = 0.37  # share of turns that begin before the end of the other's
OVERLAPPED: Final = 0.5  # s, mean
GOES_ON, PARTNER_GOES_ON = 5.9, 2.6  # odds of another utterance against the other's turn
BACKCHANNELS: Final = 5.0  # the partner's, a minute of own speech
BACKCHANNEL: Final = 0.5  # s
# Exponents from engagement 0 to 1.
SHORTER_PAUSE: Final = 2.4
SHORTER_RESPONSE: Final = 1.5
PARTNER_SHORTER: Final = 2.8
MORE_TURNS: Final = 2.6  # of the odds of going on
MORE_OVERLAP: Final = 1.2  # of the odds of an overlap and of the partner's back-channels
LEVEL: Final = 0.35  # what a conversation's mean changes, against what a moment's deviation from it does


Flags = NDArray[np.bool_]


class Turns(NamedTuple):
    """Each `[T, P]`.

    Attributes:
        floor: SELF or PARTNER.
        speaker: the one who has the floor while speaking, else GAP.
        own, partner: who is heard; both where they overlap.
    """

    floor: NDArray[np.int8]
    speaker: NDArray[np.int8]
    own: Flags
    partner: Flags


def pause_median(people: People, above: Array) -> Array:
    """Of own pauses, s; `above`: how engaged the person is, see `take_turns`."""
    return PAUSE[0] * people.pause * np.exp(-SHORTER_PAUSE * people.gains["pause"] * above)


def response_median(people: People, above: Array) -> Array:
    """Of gaps before the person's turn, s."""
    return RESPONSE[0] * np.exp(-SHORTER_RESPONSE * people.gains["pause"] * above)


def odds_of_going_on(people: People, above: Array) -> Array:
    """Of another utterance, against the partner's turn."""
    return GOES_ON * people.talkative * np.exp(MORE_TURNS * people.gains["turns"] * above)


def odds_of_overlap(people: People, above: Array) -> Array:
    """Of a turn that begins before the end of the other's."""
    return OVERLAP / (1 - OVERLAP) * people.partner_lively * np.exp(MORE_OVERLAP * above)


def partners_pause_median(above: Array) -> Array:
    """Of the partner's pauses, s."""
    return PARTNERS_PAUSE[0] * np.exp(-PARTNER_SHORTER * above)


def take_turns(rng: np.random.Generator, people: People, y: Array, rate: int) -> Turns:
    """Who speaks when, given engagement `y`, `[T, P]`: a semi-Markov process."""
    ticks, count = y.shape
    moment = (y - y.mean(0)) + LEVEL * (y.mean(0) - 0.5)
    everyone, now = np.arange(count), np.zeros(count)  # s
    own: Flags = rng.random((count,)) < 0.5
    speaks: Flags = rng.random((count,)) < 0.7
    tail: NDArray[np.float64] = np.zeros((count,))  # s until when the one before goes on
    left: NDArray[np.float64] = rng.exponential(1.0, (count,))
    states = []
    while True:  # a change of every person's state, each at a time of its own
        states.append((now, own, speaks, tail))
        now = now + left
        if (now >= ticks / rate).all():
            break
        above = moment[np.minimum((now * rate).astype(np.intp), ticks - 1), everyone]
        own, speaks, left, extra = _change(rng, people, above, own, speaks)
        tail = np.where(extra > 0, now + extra, tail)
    starts, owns, talks, tails = (np.stack(part) for part in zip(*states, strict=True))
    clock = np.arange(ticks) / rate
    at = np.stack([np.searchsorted(start, clock, "right") - 1 for start in starts.T], 1)
    owns, talks = owns[at, everyone], talks[at, everyone]
    goes_on = clock[:, None] < tails[at, everyone]
    floor = np.where(owns, SELF, PARTNER).astype(np.int8)
    per_minute = BACKCHANNELS * people.partner_lively * np.exp(MORE_OVERLAP * moment)
    begin = (rng.random((ticks, count)) < per_minute / (60 * rate)) & owns & talks
    partner = ~owns & talks | owns & goes_on | spread(begin, round(BACKCHANNEL * rate))
    return Turns(floor, np.where(talks, floor, GAP).astype(np.int8), owns & talks | ~owns & goes_on, partner)


def _change(
    rng: np.random.Generator, people: People, above: Array, own: Flags, speaks: Flags
) -> tuple[Flags, Flags, NDArray[np.float64], NDArray[np.float64]]:
    """The next state: whose turn it is, whether that one speaks, for how many seconds, and how many the other
    one goes on into it. `above`: how engaged the person is, see `moment`."""
    count = own.size
    odds = np.where(own, odds_of_going_on(people, above), PARTNER_GOES_ON * people.partner_talkative)
    goes_on = ~speaks | (rng.random(count) < odds / (1 + odds))
    odds = odds_of_overlap(people, above)
    overlaps = ~goes_on & (rng.random(count) < odds / (1 + odds))
    own = own ^ ~goes_on
    pause = np.where(own, pause_median(people, above), partners_pause_median(above))
    response = np.where(own, response_median(people, above), RESPONSE[0])
    sigma = np.where(goes_on, np.where(own, PAUSE[1], PARTNERS_PAUSE[1]), RESPONSE[1])
    silence = np.where(goes_on, pause, response) * rng.lognormal(0, sigma)
    first, shape, scale = np.where(own, np.array(UTTERANCE)[:, None], np.array(PARTNERS_UTTERANCE)[:, None])
    utterance = first + scale * rng.gamma(shape)
    silent = speaks & ~overlaps
    extra = np.where(overlaps, 0.1 + rng.exponential(OVERLAPPED, count), 0)
    return own, ~silent, np.where(silent, silence, utterance), extra


def spread(begin: Flags, ticks: int) -> Flags:
    """Also so many ticks after each, along axis 0."""
    out = begin.copy()
    for ahead in range(1, ticks):
        out[ahead:] |= begin[:-ahead]
    return out
