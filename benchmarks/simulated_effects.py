"""What goes with engagement in people and in simulated people: the same correlations of both.

    python benchmarks/simulated_effects.py [--data FOLDER]

People's are those recorded below; with `--data`, measured anew in its folders `mit_interview`, `hazumi` and
`converse`. They are correlations with ratings, so simulated engagement gets a rater's noise: as much
as CONVERSE's ratings have beyond what neighbouring turns share, and as five raters' mean in Hazumi; nine
raters' mean in MIT counts as exact. `study/simulated_raters.py` simulates a rater's lag and scale, too.
"""

import argparse
import copy
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from speech_statistics import (
    RATE,
    Rated,
    effects,
    levels,
    persistence,
    rated_turns,
    speech,
    stretches,
    within,
)

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.models.datasets.behaviour import Behaviour, behave, draw_engagement
from enrapt.models.datasets.conversation import moments
from enrapt.models.datasets.people import People, draw_people
from enrapt.models.datasets.simulated_face import face
from enrapt.models.datasets.simulated_voice import VOICED, loudness, voice
from enrapt.models.datasets.turn_taking import GAP, SELF, take_turns

Array = NDArray[np.float64]

PEOPLE: Final = {  # correlations with ratings of engagement (Hazumi: of enjoyment)
    "MIT, interviews": {
        "level": 0.52, "share of silence": -0.38, "mean pause": -0.22, "mean pitch": 0.17,
        "spread of pitch": -0.10,
    },
    "Hazumi, exchanges within people": {
        "own speech": 0.54, "loudness": 0.01, "mouth open": 0.38, "smile": 0.03, "brows": 0.07,
        "blinks": 0.16, "motion of the head": 0.23,
    },
    "CONVERSE, turns within conversations": {
        "own speech": 0.30, "partner's speech": 0.00, "both": 0.15, "silence": -0.36,
        "length of the turn": 0.19,
    },
    "CONVERSE, conversations": {
        "own speech": 0.36, "partner's speech": 0.15, "both": 0.26, "silence": -0.48,
        "length of the turn": 0.07,
    },
}  # fmt: skip
SPEECH: Final = {  # CONVERSE, s: 25, 50 and 75 % of all; negative where the other still speaks
    "own utterance": (0.80, 1.72, 2.92), "partner's utterance": (0.60, 1.12, 2.52),
    "own pause": (0.40, 0.60, 1.00), "partner's pause": (0.40, 0.68, 1.20),
    "gap before own": (-0.32, 0.20, 0.92), "gap before partner's": (-0.68, 0.20, 0.80),
}  # fmt: skip
SHARES: Final = {"own": 0.478, "partner's": 0.300, "both": 0.039, "nobody": 0.261}  # of CONVERSE's time
PERSISTENCE: Final = (0.35, 0.25, 0.18, 0.12, 0.01)  # of CONVERSE's ratings, by 15 s
SHARED: Final = 0.5  # of their variance within conversations: the autocorrelation at 0
RELIABLE: Final = 0.87  # of five raters' mean, of whom one agrees with the others by r 0.70
INTERVIEW, EXCHANGE, CONVERSATION = 287, 11, 600  # s


class Effects(NamedTuple):
    """Attributes:
    correlations: by kind of measurement and name, as `PEOPLE`.
    speech: 25, 50 and 75 % of durations by name, s, as `SPEECH`.
    shares: of time, who speaks, as `SHARES`.
    persistence: as `PERSISTENCE`.
    """

    correlations: dict[str, dict[str, float]]
    speech: dict[str, tuple[float, ...]]
    shares: dict[str, float]
    persistence: tuple[float, ...]


def recorded() -> Effects:
    """People's, as measured before."""
    return Effects(PEOPLE, SPEECH, SHARES, PERSISTENCE)


def measured(data: Path) -> Effects:
    """People's, from the tables."""
    from measured_effects import exchanges, interviews, turns

    rated = turns(data / "converse")
    every = interviews(data / "mit_interview"), exchanges(data / "hazumi"), effects(rated), levels(rated)
    return Effects(dict(zip(PEOPLE, every, strict=True)), *speech(rated), persistence(rated))


def interviews(rng: np.random.Generator, count: int) -> dict[str, float]:
    """Level before the microphone, pauses within turns, and pitch as extracted."""
    people = draw_people(rng, count)
    y = draw_engagement(rng, count, INTERVIEW * RATE, RATE)
    turns = take_turns(copy.deepcopy(rng), people, y, RATE)
    audio, _ = voice(rng, people, behave(rng, people, y, RATE), moments(), RATE)
    mine, silent = turns.floor == SELF, (turns.floor == SELF) & (turns.speaker == GAP)
    began = silent & ~np.roll(silent, 1, 0)
    hertz = 100 * 2 ** (audio[..., AUDIO.index("f0")] / 12)
    heard = (turns.speaker == SELF) & (audio[..., AUDIO.index("voicing")] >= VOICED)
    pitch = np.ma.masked_array(hertz, ~heard)
    found = {
        "level": loudness(people, y),
        "share of silence": silent.sum(0) / np.maximum(mine.sum(0), 1),
        "mean pause": silent.sum(0) / np.maximum(began.sum(0), 1),
        "mean pitch": pitch.mean(0).filled(np.nan),
        "spread of pitch": pitch.std(0).filled(np.nan),
    }
    spoke = mine.sum(0) > 20 * RATE
    return {k: float(np.corrcoef(np.asarray(v)[spoke], y.mean(0)[spoke])[0, 1]) for k, v in found.items()}


def exchanges(rng: np.random.Generator, count: int) -> dict[str, float]:
    """Means over stretches of 11 s, within people."""
    people = draw_people(rng, count)
    each = EXCHANGE * RATE
    y = draw_engagement(rng, count, 25 * each, RATE)
    behaviour = behave(rng, people, y, RATE)
    shapes, _ = face(rng, people, behaviour, moments(), RATE)

    def means(x: NDArray[np.floating]) -> Array:
        return x.reshape(-1, each, count).mean(1).ravel().astype(float)

    def shape(name: str) -> NDArray[np.floating]:
        return shapes[..., FACE.index(name)]

    turned = np.diff(shapes[..., -6:-3], axis=0, prepend=shapes[:1, :, -6:-3])  # yaw, pitch, roll
    found = {
        "own speech": behaviour.speaking,
        "mouth open": shape("jawOpen"),
        "smile": shape("mouthSmileLeft"),
        "brows": shape("browInnerUp"),
        "blinks": behaviour.blink,
        "motion of the head": np.abs(turned).sum(-1),
    }
    columns = {k: means(v) for k, v in found.items()}
    columns["loudness"] = _mean_level(rng, people, behaviour)
    columns["motion of the head"] = np.log(columns["motion of the head"])
    of = np.tile(np.arange(count), len(y) // each)
    rating = _noisy(rng, means(y), of, RELIABLE)
    return {k: within(v, rating, of) for k, v in columns.items()}


def _mean_level(rng: np.random.Generator, people: People, behaviour: Behaviour) -> Array:
    """dB of own speech in stretches of 11 s, NaN without any."""
    audio, _ = voice(rng, people, behaviour, moments(), RATE)
    each = EXCHANGE * RATE
    level = np.where(behaviour.speaking, audio[..., AUDIO.index("level")], np.nan)
    parts = level.reshape(-1, each, level.shape[1]).swapaxes(1, 2).reshape(-1, each)
    said = np.isfinite(parts).sum(1)
    return np.where(said > 0, np.nansum(parts, 1) / np.maximum(said, 1), np.nan)


def conversations(rng: np.random.Generator, count: int) -> list[Rated]:
    """Ten minutes, with a rating of each turn of the person, which counts until the partner's."""
    people = draw_people(rng, count)
    y = draw_engagement(rng, count, CONVERSATION * RATE, RATE)
    turns = take_turns(copy.deepcopy(rng), people, y, RATE)
    behaviour = behave(rng, people, y, RATE)
    out = []
    for k in range(count):
        spans = stretches(turns.floor[:, k] == SELF)
        truth = np.array([y[a:b, k].mean() for a, b in spans], float)
        noise = np.sqrt(truth.var() * (1 / SHARED - 1)) * rng.standard_normal(len(spans))
        rated = [(a / RATE, b / RATE, v) for (a, b), v in zip(spans, truth + noise, strict=True)]
        out.append(rated_turns(behaviour.speaking[:, k], behaviour.partner[:, k], rated))
    return out


def simulated(seed: int, scale: int = 1) -> Effects:
    """The same of simulated people: `scale` times 138 interviews, 147 people, 111 conversations."""
    rng = np.random.default_rng(seed)
    rated = conversations(rng, 111 * scale)
    every = interviews(rng, 138 * scale), exchanges(rng, 147 * scale), effects(rated), levels(rated)
    return Effects(dict(zip(PEOPLE, every, strict=True)), *speech(rated), persistence(rated))


def _noisy(rng: np.random.Generator, y: Array, of: NDArray[np.int64], reliability: float) -> Array:
    inside = y - (np.bincount(of, y) / np.bincount(of))[of]
    return y + np.sqrt(inside.var() * (1 / reliability - 1)) * rng.standard_normal(y.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="measure people's anew from the tables in this folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--scale", type=int, default=4, help="times as many as there are people (%(default)s)"
    )
    args = parser.parse_args()
    people = measured(args.data) if args.data else recorded()
    ours = simulated(args.seed, args.scale)
    print(f"{'correlation with engagement':40s} people  simulated")
    for group, found in people.correlations.items():
        print(group)
        for name, value in found.items():
            print(f"  {name:36s} {value:+8.2f} {ours.correlations[group][name]:+10.2f}")
    print("CONVERSE's ratings with those less than 15, 30, 45, 60, 75 s later")
    for a, b in zip(people.persistence, ours.persistence, strict=True):
        print(f"  {'':36s} {a:+8.2f} {b:+10.2f}")
    print("seconds in CONVERSE, 25, 50 and 75 % of all")
    for name, value in people.speech.items():
        print(f"  {name:24s} {_three(value)}    {_three(ours.speech[name])}")
    print("share of time in CONVERSE in which they speak")
    for name, value in people.shares.items():
        print(f"  {name:36s} {value:8.1%} {ours.shares[name]:10.1%}")


def _three(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:6.2f}" for v in values)


if __name__ == "__main__":
    main()
