"""Hazumi: face, voice and raters' answers, exchange by exchange, of people who talk with an agent.

The multimodal dialogue corpus of Osaka University (Komatani & Okada 2021): an agent, run by a Wizard, and a
person talk in Japanese. An exchange is one turn of the agent and the person's answer. Five raters of each
corpus rated enjoyment and interest in the topic from 1 to 7. Voice is 384 functionals of openSMILE (IS09,
Schuller et al. 2009), face the means of 18 action units of OpenFace (Baltrušaitis et al. 2018) and 48
numbers on the motion of facial landmarks, all of one exchange.
"""

import csv
import gzip
import zipfile
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.errors import UserError, one_line

RATERS: Final = 5
VOICE, FACE = 384, 66
QUESTIONS: Final = {"enjoyment": "enjoy", "topic": "topic"}  # and the start of its columns' names
TIMES: Final = ("start_ms", "system_end_ms", "end_ms")
KEYS: Final = ("corpus", "session", "person", "exchange")
MISSED: Final = 100.0  # s; an agent's turn that ends so long before or after its start was not noted
Array = NDArray[np.float32]


class Session(NamedTuple):
    """One conversation of T exchanges, in order.

    Attributes:
        corpus: whose raters answered; each corpus had five of its own.
        number: of each exchange, `[T]`.
        times: start of the exchange, end of the agent's turn (NaN where unknown) and end, seconds since the
            recording's start, `[T, 3]`.
        ratings: answers of the five raters, 1 to 7, NaN where there is none, `[T, 5]` by question.
        x: raw values by modality, `face` `[T, 66]` and `voice` `[T, 384]`; NaN where missing.
    """

    name: str
    person: str
    corpus: str
    number: Array
    times: NDArray[np.float64]
    ratings: dict[str, Array]
    x: dict[str, Array]


def load_hazumi(exchanges: Path, features: Path) -> list[Session]:
    """All sessions of a table and its features, in order of appearance.

    A face whose 18 action units are all 0 was not found, and is missing; so is a voice that is all 0.

    Args:
        exchanges: CSV, or CSV in gzip: a line for each exchange.
        features: npz: x, a row for each line of the table; names, of its columns.

    Raises:
        UserError: no such tables, an invalid line, or tables that do not belong together.
    """
    lines = _table(exchanges)
    x = _features(features)
    if len(lines) != len(x):
        raise UserError(f"{features}: {len(x)} rows, but {exchanges} has {len(lines)} exchanges")
    rows: dict[str, list[int]] = {}
    for i, line in enumerate(lines):
        rows.setdefault(line["session"], []).append(i)
    return [_session([lines[i] for i in found], x[found], exchanges) for found in rows.values()]


def _table(path: Path) -> list[dict[str, str]]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(
            f"{path}: {getattr(error, 'strerror', None) or error}; expected Hazumi's table of exchanges"
        ) from None
    header, *lines = list(csv.reader(text.splitlines())) or [[]]
    ratings = [f"{q}_r{r}" for q in QUESTIONS.values() for r in range(1, RATERS + 1)]
    if missing := [name for name in (*KEYS, *TIMES, *ratings) if name not in header]:
        raise UserError(f"{path}: no column {', '.join(missing)}; found {', '.join(header) or 'none'}")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise UserError(f"{path}, line {number}: {len(line)} columns, expected {len(header)}")
    found = [dict(zip(header, line, strict=True)) for line in lines]
    for number, line in enumerate(found, start=2):
        try:
            start, _, end = (float(line[name] or "nan") for name in TIMES)
            answers = [float(line[name] or "nan") for name in ratings]
            float(line["exchange"])
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {one_line(error)}") from None
        if not (np.isfinite([start, end]).all() and start <= end):
            raise UserError(f"{path}, line {number}: an exchange from {start:g} to {end:g} ms")
        if wrong := [v for v in answers if v < 1 or v > 7]:
            raise UserError(f"{path}, line {number}: an answer of {wrong[0]:g}, expected 1 to 7")
    if not found:
        raise UserError(f"{path}: no exchange")
    return found


def _features(path: Path) -> Array:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            x, names = file["x"].astype(np.float32), [str(name) for name in file["names"]]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: {one_line(error)}; expected Hazumi's features, x and names") from None
    if x.ndim != 2 or x.shape[1] != len(names) or len(names) != VOICE + FACE:
        raise UserError(f"{path}: x {list(x.shape)} and {len(names)} names, expected {VOICE + FACE} columns")
    if not names[VOICE].startswith("AU") or names[VOICE - 1].startswith("AU"):
        raise UserError(f"{path}: expected {VOICE} columns of voice, then {FACE} of face, the first AU…")
    return x


def _session(lines: list[dict[str, str]], x: Array, path: Path) -> Session:
    order = np.argsort([float(line["exchange"]) for line in lines], kind="stable")
    lines, x = [lines[i] for i in order], x[order].copy()
    people = {(line["person"], line["corpus"]) for line in lines}
    if len(people) > 1:
        raise UserError(f"{path}: session {one_line(lines[0]['session'])} has several people or corpora")

    def column(name: str) -> NDArray[np.float64]:
        return np.array([float(line[name] or "nan") for line in lines])

    times = np.stack([column(name) for name in TIMES], 1) / 1000
    spoken = times[:, 1] - times[:, 0]
    times[~((spoken >= 0) & (spoken < MISSED) & (times[:, 1] <= times[:, 2])), 1] = np.nan
    voice, face = x[:, :VOICE], x[:, VOICE:]
    for part, seen in ((voice, (voice != 0).any(1)), (face, (face[:, :18] != 0).any(1))):
        part[~seen | ~np.isfinite(part).all(1)] = np.nan
    ratings = {
        name: np.stack([column(f"{q}_r{r}") for r in range(1, RATERS + 1)], 1).astype(np.float32)
        for name, q in QUESTIONS.items()
    }
    (person, corpus), *_ = people
    number = column("exchange").astype(np.float32)
    return Session(
        lines[0]["session"], person, corpus, number, times, ratings, {"face": face, "voice": voice}
    )
