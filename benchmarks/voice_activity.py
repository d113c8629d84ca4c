"""How our voice activity differs from spans that are known.

    python benchmarks/voice_activity.py

Synthetic voices (espeak-ng) speak in spans of 0.5 to 10 s with gaps of 0.5 to 8 s, two minutes a clip, over
white noise at several distances. Of each kind of error, what CONVERSE's spans are spoilt with in
`turns.py --voice-activity`:

    late      from the start of a span to the first sample that says speech, mean, s
    hangover  from its end to the last such sample, mean, s
    missed    share of the samples inside, after the first, that do not say speech; their mean length, s
    false     bursts of speech in a minute of silence, and their mean length, s
"""

import argparse
import io
import itertools
import subprocess
import wave
from typing import Final, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from enrapt.realtime.features.speaking import SpeakingFeatures
from enrapt.realtime.streams.samples import Sound

RATE: Final = 16_000
SECONDS: Final = 120
SAMPLE: Final = 0.04  # s
VOICES: Final = ("en", "sv", "en+f3", "sv+f2", "en+m3", "de")
NOISES: Final = {"quiet": 0.0003, "noise 20 dB below": 0.01, "noise 10 dB below": 0.032}  # speech RMS is 0.1
TEXT: Final = (
    "yes so we went there again on monday morning, and well, it was a lot of fun for all of them I think"
)
NEAR: Final = 1.0  # s after a span in which speech is still its hangover

Array = NDArray[np.float64]


class Errors(NamedTuple):
    """See the module's docstring; lengths in s, `false` a minute."""

    late: float
    hangover: float
    missed: float
    missed_length: float
    false: float
    false_length: float


def voice(name: str) -> Array:
    """16 kHz, RMS 0.1, without silence around it."""
    done = subprocess.run(["espeak-ng", "-v", name, "--stdout", TEXT], capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate, data = file.getframerate(), file.readframes(10**9)
    samples = np.frombuffer(data, np.int16).astype(np.float64)
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    found: Array = soxr.resample(samples[loud[0] : loud[-1]], rate, RATE)
    return 0.1 * found / np.sqrt(np.mean(found**2))


def clip(name: str, noise: float, rng: np.random.Generator) -> tuple[Array, list[tuple[float, float]]]:
    said, out = voice(name), noise * rng.standard_normal(SECONDS * RATE)
    spans, at = [], 2.0
    while True:
        length = min(float(rng.uniform(0.5, 10)), len(said) / RATE)
        if at + length > SECONDS - 2:
            return out, spans
        first = round(at * RATE)
        out[first : first + round(length * RATE)] += said[: round(length * RATE)]
        spans.append((at, at + length))
        at += length + float(rng.uniform(0.5, 8))


def runs(flags: NDArray[np.bool_]) -> list[tuple[bool, int]]:
    return [(bool(key), len(list(group))) for key, group in itertools.groupby(flags)]


def errors(name: str, noise: float, seed: int) -> dict[str, list[float]]:
    sound, spans = clip(name, noise, np.random.default_rng(seed))
    samples = SpeakingFeatures("own", True).push(Sound(0, sound.astype(np.float32)))
    says = np.array([s.values is not None and s.values[0] >= 0.5 for s in samples])
    ends = SAMPLE * np.arange(1, len(says) + 1)
    found: dict[str, list[float]] = {"late": [], "hangover": [], "missed": [], "gaps": [], "bursts": []}
    silent = np.ones(len(says), bool)
    for (start, end), after in zip(spans, [s for s, _ in spans[1:]] + [float(SECONDS)], strict=True):
        near = min(end + NEAR, after)
        silent &= ~((ends > start) & (ends <= near + SAMPLE))
        inside = np.flatnonzero((ends > start) & (ends <= end))
        on = inside[says[inside]]
        if not len(on):
            found["late"].append(end - start)
            continue
        found["late"].append(max(ends[on[0]] - SAMPLE - start, 0.0))
        after_end = np.flatnonzero((ends > end) & (ends <= near) & says)
        found["hangover"].append(ends[after_end[-1]] - end if len(after_end) else 0.0)
        rest = says[on[0] : inside[-1] + 1]
        found["missed"] += [float(not v) for v in rest]
        found["gaps"] += [n * SAMPLE for speaks, n in runs(rest) if not speaks]
    found["bursts"] = [n * SAMPLE for speaks, n in runs(says & silent) if speaks]
    found["silence"] = [SAMPLE * float(silent.sum())]
    return found


def measure(noise: float) -> Errors:
    found = [errors(name, noise, seed) for seed, name in enumerate(VOICES)]
    joined = {key: [v for one in found for v in one[key]] for key in found[0]}

    def mean(key: str) -> float:
        return float(np.mean(joined[key])) if joined[key] else 0.0

    a_minute = 60 * len(joined["bursts"]) / sum(joined["silence"])
    return Errors(mean("late"), mean("hangover"), mean("missed"), mean("gaps"), a_minute, mean("bursts"))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(
        f"{'':20s}{'late':>7s}{'hangover':>10s}{'missed':>9s}{'length':>8s}{'false/min':>11s}{'length':>8s}"
    )
    for name, noise in NOISES.items():
        e = measure(noise)
        print(
            f"{name:20s}{e.late:7.2f}{e.hangover:10.2f}{100 * e.missed:7.1f} %{e.missed_length:8.2f}"
            f"{e.false:11.1f}{e.false_length:8.2f}"
        )


if __name__ == "__main__":
    main()
