"""CONVERSE: ten-minute Swedish conversations with a person or a robot, and a rating of every turn.

Torubarova, Ljung, Uddén and Pereira, LREC 2026; MIT licence. `speech.csv` says who speaks when, `turns.csv`
how engaged the participant was in each turn, 1 to 5, and how confident of that the one annotator, who rated
by ear, was.
"""

import csv
import gzip
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.errors import UserError

Array = NDArray[np.float32]

SPEECH: Final = ("sub", "run", "group", "condition", "who", "start", "end")
TURNS: Final = ("sub", "run", "group", "condition", "start", "end", "engagement", "confidence")
OWN: Final = ("participant", "participant_backchannel")  # what a microphone hears of a person
PARTNER: Final = ("operator",)
SAMPLE: Final = 0.04  # s; the stretch of sound that a sample of voice activity describes
LOWEST, HIGHEST = 1.0, 5.0  # of a rating
LEVELS: Final = 5
CONFIDENT: Final = 3.0  # where a turn has no confidence
LONGEST: Final = 7200.0  # s

Spans = list[tuple[float, float]]


class Turn(NamedTuple):
    """Attributes:
    start, end: s.
    engagement: the middle of the rating's fifth of 0 to 1: 0.1 for a 1, 0.9 for a 5.
    confidence: from 1 to 5.
    """

    start: float
    end: float
    engagement: float
    confidence: float

    @property
    def spread(self) -> float:
        """Standard deviation of the label beyond what any rating has: 0 where the annotator was completely
        confident, half a step of the scale where not at all."""
        return 0.5 / LEVELS * (HIGHEST - self.confidence) / (HIGHEST - LOWEST)


class Conversation(NamedTuple):
    """One person, ten minutes.

    Attributes:
        condition: how engaged the partner acted: high, medium, low.
        own, partner: when each spoke, s.
        turns: rated ones, by their end.
    """

    person: str
    run: str
    group: str
    condition: str
    own: Spans
    partner: Spans
    turns: list[Turn]

    @property
    def seconds(self) -> float:
        """Until the last word or rating."""
        return max(
            end for end in (*(e for _, e in (*self.own, *self.partner)), *(t.end for t in self.turns), 1.0)
        )


def load_converse(speech: Path, turns: Path) -> list[Conversation]:
    """The conversations of two tables, CSV or CSV in gzip, by person and run.

    Raises:
        UserError: a file is missing, or a line is wrong.
    """
    spoken: defaultdict[tuple[str, str], dict[str, Spans]] = defaultdict(lambda: {"own": [], "partner": []})
    described: dict[tuple[str, str], tuple[str, str]] = {}
    for number, row in _rows(speech, SPEECH):
        start, end = _span(speech, number, row)
        who = "own" if row["who"] in OWN else "partner" if row["who"] in PARTNER else None
        if who is None:
            raise UserError(
                f"{speech}, line {number}: who is {', '.join((*OWN, *PARTNER))}, not {row['who']}"
            )
        key = row["sub"], row["run"]
        spoken[key][who].append((start, end))
        described[key] = row["group"], row["condition"]
    rated: defaultdict[tuple[str, str], list[Turn]] = defaultdict(list)
    for number, row in _rows(turns, TURNS):
        start, end = _span(turns, number, row)
        key = row["sub"], row["run"]
        if key not in described:
            raise UserError(
                f"{turns}, line {number}: no speech of person {key[0]}, run {key[1]}, in {speech}"
            )
        if row["engagement"]:
            value = _number(turns, number, row["engagement"])
            sure = _number(turns, number, row["confidence"]) if row["confidence"] else CONFIDENT
            if not all(LOWEST <= v <= HIGHEST for v in (value, sure)):
                raise UserError(f"{turns}, line {number}: ratings are from 1 to 5")
            rated[key].append(Turn(start, end, (value - 0.5) / LEVELS, sure))
    return [
        Conversation(*key, *described[key], **spans, turns=sorted(rated[key], key=lambda turn: turn.end))
        for key, spans in sorted(spoken.items(), key=lambda item: [part.zfill(8) for part in item[0]])
    ]


def activity(spans: Spans, ticks: int, rate: int) -> Array:
    """The newest sample of voice activity at each tick k / rate, `[T]`: the share of the last 40 ms that is
    spoken."""
    now = np.arange(ticks) / rate
    share = np.zeros(ticks)
    for start, end in spans:
        near = slice(max(int(start * rate) - 1, 0), int((end + SAMPLE) * rate) + 2)
        covered = np.minimum(now[near], end) - np.maximum(now[near] - SAMPLE, start)
        share[near] += np.maximum(covered, 0)
    return np.minimum(share / SAMPLE, 1).astype(np.float32)


def last_tick(turn: Turn, rate: int) -> int:
    """The last tick before a turn's end, at which its estimate is scored."""
    return max(int(np.ceil(turn.end * rate - 1e-9)) - 1, 0)


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(
            f"{path}: {getattr(error, 'strerror', None) or error}; expected a table of CONVERSE"
        ) from None
    reader = csv.DictReader(text.splitlines())
    if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
        raise UserError(f"{path}: has no column {missing[0]}")
    rows = []
    for number, row in enumerate(reader, start=2):
        if any(row[name] is None for name in columns):
            raise UserError(f"{path}, line {number}: too few columns")
        rows.append((number, row))
    return rows


def _span(path: Path, number: int, row: dict[str, str]) -> tuple[float, float]:
    start, end = (_number(path, number, row[name]) for name in ("start", "end"))
    if not 0 <= start <= end <= LONGEST:
        raise UserError(f"{path}, line {number}: from {start:g} to {end:g} s")
    return start, end


def _number(path: Path, number: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{path}, line {number}: {text!r:.40} is no number") from None
