"""What goes with engagement in people: correlations in three data sets; for `simulated_effects.py`."""

import csv
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from datasets.converse import load_converse
from datasets.hazumi import load_hazumi
from numpy.typing import NDArray
from speech_statistics import RATE, Rated, rated_turns, within

Array = NDArray[np.float64]

MIT = {"level": "intensityMean", "share of silence": "PercentBreaks", "mean pause": "avgDurPause",
       "mean pitch": "mean_pitch", "spread of pitch": "pitch_sd"}  # fmt: skip
HAZUMI = {
    "loudness": "pcm_RMSenergy_sma_amean", "mouth open": "AU25_c_mean", "smile": "AU12_c_mean",
    "brows": "AU01_c_mean", "blinks": "AU45_c_mean", "motion of the head": "36_velocity_mean",
}  # fmt: skip


def correlation(a: Array, b: Array) -> float:
    """Of what is finite in both."""
    both = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[both], b[both])[0, 1])


def interviews(folder: Path) -> dict[str, float]:
    """Of an interview's mean over its answers with nine raters' mean of "Engaged" (MIT, 138 interviews)."""
    with (folder / "scores_18_traits.csv").open() as file:
        rated = {row["id"].lower(): float(row["Engaged"]) for row in csv.DictReader(file)}
    answers = defaultdict(list)
    with (folder / "prosodic_features_per_question.csv").open() as file:
        for row in csv.DictReader(file):
            interview = re.sub(r"q\d+$", "", row["participant&question"].lower())
            answers[interview].append([_number(row[name]) for name in MIT.values()])
    means = np.array([np.nanmean(answers[name], 0) for name in rated])
    scores = np.array(list(rated.values()))
    return {name: correlation(column, scores) for name, column in zip(MIT, means.T, strict=True)}


def exchanges(folder: Path) -> dict[str, float]:
    """Of exchanges of about 11 s with five raters' mean of enjoyment, within people (Hazumi, 147 people)."""
    sessions = load_hazumi(folder / "exchanges.csv.gz", folder / "features.npz")
    with np.load(folder / "features.npz") as file:
        names = [str(name) for name in file["names"]]
    of = np.repeat(np.arange(len(sessions)), [len(s.number) for s in sessions])
    x = np.concatenate([np.concatenate([s.x["voice"], s.x["face"]], 1) for s in sessions])
    enjoyment = np.concatenate([s.ratings["enjoyment"].mean(1) for s in sessions])
    times = np.concatenate([s.times for s in sessions])
    answer = np.log1p(np.maximum(times[:, 2] - times[:, 1], 0))
    found = {"own speech": within(answer, enjoyment, of)}
    columns = {k: x[:, names.index(name)].astype(float) for k, name in HAZUMI.items()}
    for name in ("loudness", "motion of the head"):
        columns[name] = np.log(columns[name] + 1e-6)
    return found | {k: within(column, enjoyment, of) for k, column in columns.items()}


def turns(folder: Path) -> list[Rated]:
    """The rated turns of CONVERSE's 111 conversations."""
    return [
        rated_turns(
            _ticks(c.own, c.seconds), _ticks(c.partner, c.seconds),
            [(turn.start, turn.end, turn.engagement) for turn in c.turns],
        )
        for c in load_converse(folder / "speech.csv.gz", folder / "turns.csv.gz")
        if c.turns
    ]  # fmt: skip


def _ticks(spans: list[tuple[float, float]], seconds: float) -> NDArray[np.bool_]:
    out = np.zeros(int(seconds * RATE) + 1, bool)
    for start, end in spans:
        out[int(start * RATE) : int(end * RATE)] = True
    return out


def _number(text: str) -> float:
    """NaN for Praat's "--undefined--"."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
