"""A particle filter of the engagement of simulated people, and the smoother by its particles' ancestors."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from simulated_cues import (
    CUES,
    DRIFT,
    EVENTS,
    LEAN,
    LOUDNESS,
    MELODY,
    MICROPHONE,
    RATE,
    Array,
    Flags,
    Seen,
    sway,
)

from enrapt.models.datasets import behaviour as b
from enrapt.models.datasets import turn_taking as tt
from enrapt.models.datasets.people import People, draw_people
from enrapt.models.datasets.simulated_voice import FLATTER, LOUDER

TICK: Final = 1 / RATE  # s
EVERY: Final = 5  # ticks between looks at whether to resample
# The mean of a logistic function of a normal variable is about that of its mean over this; the variance is 1
# and that of the jumps.
EXPECTED: Final = float(np.sqrt(1 + np.pi / 8 * 1.6))


class Course(NamedTuple):
    """Of engagement, `[T, P]` each: the filter's mean and central 90 %, and the smoother's mean."""

    mean: Array
    low: Array
    high: Array
    smooth: Array


class Particles:
    """Possible states of each person, `[P, N]` each.

    Attributes:
        level, memory, fresh: of a session's engagement, see `behaviour.draw_engagement`.
        deviation: from the level.
        y: engagement.
        session: its mean over the session: what was, and what is expected of the rest.
        lean: of the posture, per 6 cm times the gain.
        people: the person's habits: `[P, 1]` if they are known, else each particle's own.
        rest: the resting value of loudness (dB): an unknown constant's mean.
        place: the head's resting place and its drift (cm), likewise, `[2, P, N]`.
    """

    def __init__(self, seen: Seen, count: int, known: bool, rng: np.random.Generator) -> None:
        people = seen.engagement.shape[1]
        self.shape = (people, count)
        self.level = rng.normal(0.3, 0.7, self.shape).astype(np.float32)
        self.memory = np.exp(-TICK / rng.uniform(*b.MEMORY, self.shape)).astype(np.float32)
        self.fresh = np.sqrt(1 - self.memory**2)
        self.deviation = rng.standard_normal(self.shape, np.float32)
        self.y = 1 / (1 + np.exp(-self.level - self.deviation))
        self.lean = self.y - 0.5
        if known:
            self.people = _each(seen.people, lambda part: part[:, None])
        else:
            own = draw_people(rng, people * count)
            self.people = _each(own, lambda part: part.reshape(self.shape))
        self.rest = np.zeros(self.shape, np.float32)
        self.total, self.ticks, self.left = np.zeros(self.shape, np.float32), 0, len(seen.engagement)
        self.place = np.zeros((2, *self.shape), np.float32)

    def move(self, rng: np.random.Generator) -> None:
        """One tick further."""
        fresh = self.fresh * rng.standard_normal(self.shape, np.float32)
        self.deviation = self.memory * self.deviation + fresh
        jumped = rng.integers(0, self.y.size, rng.binomial(self.y.size, TICK / 60))
        self.deviation.ravel()[jumped] += rng.normal(0, 1.2, len(jumped)).astype(np.float32)
        self.y = 1 / (1 + np.exp(-self.level - self.deviation))
        self.total += self.y
        self.ticks, self.left = self.ticks + 1, self.left - 1
        self.lean = np.float32(LEAN) * self.lean + np.float32(1 - LEAN) * (self.y - 0.5)

    @property
    def session(self) -> Array:
        expected = 1 / (1 + np.exp(-self.level / EXPECTED))
        return (self.total + max(self.left, 0) * expected) / (self.ticks + max(self.left, 0))

    def choose(self, which: NDArray[np.int64]) -> None:
        """Keep these of each person's, `[P, N]`."""

        def taken(values: Array) -> Array:
            return np.take_along_axis(values, which, 1) if values.shape[1] > 1 else values

        for name in ("level", "memory", "fresh", "deviation", "y", "total", "lean", "rest"):
            setattr(self, name, taken(getattr(self, name)))
        self.people = _each(self.people, taken)
        self.place = np.stack([taken(part) for part in self.place])


def _each(people: People, change: Callable[[Array], Array]) -> People:
    parts = (
        {name: change(gain) for name, gain in part.items()} if isinstance(part, dict) else change(part)
        for part in people
    )
    return People(*parts)


class Shifts:
    """What engagement shifts a little, around an unknown resting value: Kalman filters, whose variances are
    the same for all particles of a person."""

    def __init__(self, seen: Seen) -> None:
        people = seen.engagement.shape[1]
        self.seen = seen
        self.variance = np.full(people, MICROPHONE**2)
        self.cov = np.zeros((people, 2, 2))
        self.cov[:, 0, 0], self.cov[:, 1, 1] = 81.0, seen.restless**2

    def constant(self, p: Particles, left: Array, noise: float, there: Flags) -> Array:
        """Log-likelihood `[P, N]` of what a particle leaves to be explained by its resting value."""
        total = self.variance + noise
        gain = np.where(there, self.variance / total, 0)
        error = left - p.rest
        p.rest = p.rest + gain[:, None].astype(np.float32) * error
        self.variance = self.variance * (1 - gain)
        return error**2 * _half(total, there)

    def drifting(self, p: Particles, left: Array, noise: Array, there: Flags) -> Array:
        """The same of a resting place with drift around it."""
        total = self.cov.sum((1, 2)) + noise
        gain = np.where(there[:, None], self.cov.sum(2) / total[:, None], 0)
        error = left - p.place[0] - p.place[1]
        p.place += gain.T[:, :, None].astype(np.float32) * error
        self.cov -= gain[:, :, None] * self.cov.sum(1)[:, None, :]
        p.place[1] *= np.float32(DRIFT)
        self.cov[:, 1, :] *= DRIFT
        self.cov[:, :, 1] *= DRIFT
        self.cov[:, 1, 1] += (1 - DRIFT**2) * self.seen.restless**2
        return error**2 * _half(total, there)


def _half(variance: NDArray[np.float64], there: Flags) -> Array:
    """What a squared error is multiplied with, `[P, 1]`."""
    return np.where(there, -0.5 / variance, 0)[:, None].astype(np.float32)


class Durations:
    """How long looks, turns and gaps last, and the melody of speech."""

    def __init__(self, seen: Seen) -> None:
        people = seen.engagement.shape[1]
        self.seen = seen
        self.turn, self.look = np.zeros((2, people), np.float32)  # s since the last change
        self.response = np.zeros(people, bool)  # whether a silence is before the other's turn
        self.pitch_then = np.zeros(people, np.float32)
        self.ago = np.full(people, 10_000.0)  # ticks

    def advance(self, t: int) -> None:
        """Take note of the changes at tick `t`, after its likelihoods."""
        speaker, floor, away = self.seen.turns.speaker, self.seen.turns.floor, self.seen.away
        turned = (speaker[t] != speaker[t - 1]) | (floor[t] != floor[t - 1])
        self.response = np.where(turned, floor[t] != floor[t - 1], self.response)
        self.turn = np.where(turned, 0, self.turn + TICK).astype(np.float32)
        self.look = np.where(away[t] != away[t - 1], 0, self.look + TICK).astype(np.float32)

    def gaze(self, t: int, p: Particles) -> Array:
        seen = self.seen
        engaged = np.clip(0.5 + (p.y - 0.5) * p.people.gains["gaze"], 0, 1)
        away, changed = seen.away[t - 1][:, None], (seen.away[t] != seen.away[t - 1])[:, None]
        to = (0.8 + 3.2 * engaged) * np.where(seen.turns.speaker[t] == tt.SELF, 0.7, 1.3)[:, None].astype(
            np.float32
        )
        scale = np.where(away, 2.6 - 1.8 * engaged, to)
        log = np.where(changed, -np.log(scale), 0) - _ticking(self.look > 0.2) / scale
        down = 0.35 + 0.35 * (1 - engaged)
        direction = np.where(seen.down[t][:, None], np.log(down), np.log(1 - down))
        return log + np.where(changed & ~away, direction, 0)

    def turns(self, t: int, p: Particles) -> Array:
        """Who goes on after an utterance, overlaps, and how long silences last."""
        turns, people = self.seen.turns, p.people
        own, spoke = turns.floor[t - 1] == tt.SELF, turns.speaker[t - 1] != tt.GAP
        speaks, changed = turns.speaker[t] != tt.GAP, turns.floor[t] != turns.floor[t - 1]
        above = (p.y - p.session) + tt.LEVEL * (p.session - 0.5)
        odds = tt.odds_of_going_on(people, above)
        log = np.where((own & spoke & ~changed & ~speaks)[:, None], np.log(odds / (1 + odds)), 0)
        log += np.where((own & spoke & changed)[:, None], -np.log1p(odds), 0)
        odds = tt.odds_of_overlap(people, above)
        log += np.where(
            (spoke & changed)[:, None], np.where(speaks[:, None], np.log(odds), 0) - np.log1p(odds), 0
        )
        pause = np.where(own[:, None], tt.pause_median(people, above), tt.partners_pause_median(above))
        response = np.where(own[:, None], tt.response_median(people, above), tt.RESPONSE[0])
        median = np.where(self.response[:, None], response, pause)
        sigma = np.where(self.response, tt.RESPONSE[1], np.where(own, tt.PAUSE[1], tt.PARTNERS_PAUSE[1]))

        def lasts(seconds: Array) -> Array:
            """Survival of a lognormal distribution."""
            return ndtr((np.log(median) - np.log(np.maximum(seconds, 1e-3))[:, None]) / sigma[:, None])

        before, after = lasts(self.turn), lasts(self.turn + np.float32(TICK))
        then = np.where(speaks[:, None], before - after, after) / np.maximum(before, 1e-9)
        return log + np.where(spoke[:, None], 0, np.log(np.maximum(then, 1e-9)))

    def pitch(self, t: int, p: Particles, there: Flags) -> Array:
        """Of the pitch at this tick, given the last one that was heard."""
        heard = self.seen.pitch[t]
        known = there & np.isfinite(heard)
        self.ago += 1
        memory = (MELODY**self.ago).astype(np.float32)
        extent = p.people.melody * np.exp(-FLATTER * (p.session - 0.5) * p.people.gains["voice"])
        error = np.where(known, np.nan_to_num(heard) - memory * self.pitch_then, 0)[:, None] / extent
        log = -np.log(extent) - 0.5 * error**2 / (1 - memory**2)[:, None]
        self.pitch_then, self.ago = np.where(known, heard, self.pitch_then), np.where(known, 0, self.ago)
        return np.where(known[:, None], log, 0)


def _ticking(passes: Flags) -> Array:
    """Seconds by which a duration grows at this tick, `[P, 1]`."""
    return np.where(passes, TICK, 0)[:, None].astype(np.float32)


def likelihood(
    t: int, cues: tuple[str, ...], seen: Seen, p: Particles, shifts: Shifts, durations: Durations
) -> Array:
    """Log-likelihood of all cues at a tick, `[P, N]`."""
    out = np.zeros(p.shape, np.float32)
    there = {cue: seen.there[CUES[cue]][t] for cue in cues}
    if "gaze" in cues and t:
        out += np.where(there["gaze"][:, None], durations.gaze(t, p), 0)
    if "turns" in cues and t:
        out += np.where(there["turns"][:, None], durations.turns(t, p), 0)
    if t:
        durations.advance(t)
    speaking, listening = seen.turns.speaker[t] == tt.SELF, seen.turns.speaker[t] == tt.PARTNER
    rates = b.event_rates(p.people, p.y, speaking[:, None], listening[:, None])
    for name in EVENTS:
        if name in cues:
            chance = rates[name] / (60 * RATE)
            log = np.where(seen.events[name][t][:, None], np.log(np.maximum(chance, 1e-9)), -chance)
            out += np.where(there[name][:, None], log, 0)
    if "lean" in cues:
        left = seen.z[t][:, None] - 6 * p.people.gains["lean"] * p.lean
        out += shifts.drifting(p, left, sway(seen.restless, speaking), there["lean"])
    if "loudness" in cues:
        left = seen.level[t][:, None] - LOUDER * (p.session - 0.5) * p.people.gains["voice"]
        out += shifts.constant(p, left, LOUDNESS, there["loudness"] & speaking)
    if "pitch" in cues:
        out += durations.pitch(t, p, there["pitch"])
    return out


def follow(seen: Seen, cues: tuple[str, ...], count: int, known: bool, rng: np.random.Generator) -> Course:
    """Engagement of each person given these cues.

    Args:
        count: particles of each person.
        known: whether the person's habits are.
    """
    ticks, people = seen.engagement.shape
    p, shifts, durations = Particles(seen, count, known, rng), Shifts(seen), Durations(seen)
    weight = np.zeros(p.shape, np.float32)  # log, of the best particle 0
    mean, low, high, smooth = (np.empty((ticks, people), np.float32) for _ in range(4))
    history, parents = np.empty((ticks, *p.shape), np.float16), {}
    for t in range(ticks):
        p.move(rng)
        weight += likelihood(t, cues, seen, p, shifts, durations)
        weight -= weight.max(1, keepdims=True)
        share = _shares(weight)
        mean[t] = (share * p.y).sum(1)
        history[t] = p.y
        if t % EVERY == 0:  # intervals change slowly
            order = np.argsort(p.y, 1)
            below = np.cumsum(np.take_along_axis(share, order, 1), 1)
            for out, q in ((low, 0.05), (high, 0.95)):
                at = (below < q).sum(1).clip(max=count - 1)
                out[t : t + EVERY] = p.y[np.arange(people), order[np.arange(people), at]]
            poor = 1 / np.square(share).sum(1) < count / 2
            if poor.any():
                chosen = _resampled(share, poor, rng)
                weight[poor] = 0
                p.choose(chosen)
                parents[t] = chosen.astype(np.int16)
    share, line = _shares(weight), np.tile(np.arange(count), (people, 1))
    for t in reversed(range(ticks)):
        if t in parents:
            line = np.take_along_axis(parents[t].astype(np.int64), line, 1)
        smooth[t] = (share * np.take_along_axis(history[t], line, 1)).sum(1)
    return Course(mean, low, high, smooth)


def _shares(weight: Array) -> Array:
    share = np.exp(weight)
    return np.asarray(share / share.sum(1, keepdims=True))


def _resampled(share: Array, poor: Flags, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which particle each one continues, `[P, N]`: systematic resampling of those people, else itself."""
    count = share.shape[1]
    chosen = np.tile(np.arange(count), (len(share), 1))
    for i in np.flatnonzero(poor):
        ladder = (rng.random() + np.arange(count)) / count
        chosen[i] = np.searchsorted(np.cumsum(share[i]), ladder).clip(max=count - 1)
    return chosen
