"""Tracks of other programs' files become labels beside a session, or the features of a new one."""

import contextlib
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..contracts.errors import UserError, one_line
from ..contracts.schemas import DEFAULT_MAX_AGE, SCHEMAS, TURNS
from ..realtime.sources.aligned import aligned
from ..realtime.store.folder import SessionWriter
from ..realtime.store.reader import SessionReader
from ..realtime.streams.alignment import Aligner
from ..realtime.streams.samples import SECOND, Sample
from . import labels
from .ratings import LARGEST, Intervals, Label, Trace
from .readers.contents import MAX_NUMBERS, Samples, Spans, Track
from .readers.eaf import confidences, number
from .study import Dimension

RATE: Final = 25  # ticks per second of a session made of features
LONGEST: Final = 86_400.0  # s; of such a session


def choose(tracks: Sequence[Track], name: str | None, path: Path, rater: str | None = None) -> Track:
    """The track of that name, and of that rater where several have the name; without a name the only one.

    Raises:
        UserError: there is none, or several.
    """
    named = [track for track in tracks if name is None or track.name == name]
    if len(named) > 1:
        named = [track for track in named if track.rater == rater] or named
    if len(named) == 1:
        return named[0]
    shown = [
        f"{track.name or '(without a name)'}{f' of {track.rater}' * bool(track.rater)}"
        for track in (named or tracks)[:20]
    ]
    have = one_line(", ".join(shown) or "nothing")
    if not named:
        raise UserError(f"{path}: no {one_line(name)[:60]!r} in it; it has {have}")
    raters = len({track.name for track in named}) == 1 and all(track.rater for track in named)
    raise UserError(f"{path}: has {have}; choose one with {'--rater' if raters else '--tier'}")


def label_of(
    track: Track,
    rater: str,
    dimension: Dimension,
    *,
    confidence: Spans | None = None,
    offset: float = 0.0,
) -> tuple[Label, list[str]]:
    """Labels of a track, and what was left out, a line each.

    A text is a number or the name of one of the dimension's levels; spans without one are left out.

    Args:
        confidence: a tier with the confidence of each span.
        offset: seconds to add.

    Raises:
        UserError: nothing in it is a rating; several numbers a sample; times do not fit together.
    """
    if isinstance(track, Samples):
        if track.values.shape[1] != 1:
            raise UserError(
                f"{one_line(track.name)[:60]}: {track.values.shape[1]} numbers a sample, not a trace"
            )
        keep = np.isfinite(track.times) & (np.abs(track.times) < LARGEST)
        times, values = track.times[keep] + offset, track.values[keep, 0]
        back = int((np.diff(times) < 0).sum())
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        new = (
            np.append(times[:-1] < times[1:], True) if len(times) else np.zeros(0, bool)
        )  # the last of equals
        notes = [f"{(~keep).sum()} samples without a time left out"] * bool((~keep).any())
        notes += [f"times go back {back} times: put in order; is it one recording?"] * bool(back)
        notes += [f"{(~new).sum()} samples at the time of the next left out"] * bool((~new).any())
        return Trace(rater, dimension.name, times[new], values[new]), notes
    found = [_rating(text, dimension) for text in track.text]
    rated = np.array([value is not None for value in found], bool)
    if not rated.any():
        raise UserError(
            f"{one_line(track.name)[:60]}: none of its {len(found)} texts is a number"
            + (" or a level of the dimension" if dimension.levels else "")
        )
    given = track.confidence if confidence is None else confidences(track, confidence)
    number_left = int((~rated).sum())
    notes = [f"{number_left} of {len(found)} spans left out: not a number"] * bool(number_left)
    label = Intervals(
        rater,
        dimension.name,
        track.start[rated] + offset,
        track.end[rated] + offset,
        np.array([value for value in found if value is not None], float),
        given[rated],
    )
    return label, notes


def turns_of(tracks: Mapping[str, Sequence[Spans]], rate: int = RATE, offset: float = 0.0) -> Samples:
    """Samples of `turns/1` from spans: which share they cover of the period that ends at the sample's time.

    Args:
        tracks: by feature of `turns/1`; one that is not there is 0 throughout.
        rate: samples per second, from 0 s to the last end.
        offset: seconds to add to the spans' times.

    Raises:
        UserError: there are no spans, or they last too long.
    """
    spans = [span for several in tracks.values() for span in several]
    end = max((float(span.end.max(initial=-math.inf)) for span in spans), default=-math.inf) + offset
    if not 0 < end <= LONGEST:
        raise UserError(f"spans end at {end:g} s; expected more than 0 and at most {LONGEST:g}")
    edges = np.arange(max(math.ceil(end * rate - 1e-6), 1) + 1) / rate
    values = np.zeros((len(edges) - 1, TURNS.dim))
    for feature, several in tracks.items():
        column = values[:, TURNS.index(feature)]
        ends = [pair for t in several for pair in zip(t.start.tolist(), t.end.tolist(), strict=True)]
        for start, stop in _union([(s + offset, e + offset) for s, e in ends]):
            a, b = (int(np.clip(math.floor(t * rate), 0, len(column) - 1)) for t in (start, stop))
            within = np.minimum(edges[a + 1 : b + 2], stop) - np.maximum(edges[a : b + 1], start)
            column[a : b + 1] += np.maximum(within, 0) * rate
    return Samples("turns", edges[1:], np.clip(values, 0, 1), TURNS.features, TURNS.name)


def write_session(
    folder: Path, modalities: Mapping[str, Samples], source: str, base: Path | None = None
) -> float:
    """A new session of features, with an observation at each tick; gives its length, s.

    Times start where the file's do: negative ones are left out.

    Args:
        source: what the features come from, for `session.json`.
        base: a session whose samples, marks and labels are taken over; it stays as it is.

    Raises:
        UserError: the folder is not empty or cannot be written; no sample, or a time beyond a day.
    """
    rows: list[tuple[Sample, int]] = []  # with the time of arrival, ns
    for name, samples in modalities.items():
        keep = np.isfinite(samples.times) & (samples.times >= 0)
        if not keep.any():
            raise UserError(f"{one_line(samples.name)[:60]}: no sample at 0 s or later")
        if (last := float(samples.times[keep].max())) > LONGEST:
            raise UserError(
                f"{one_line(samples.name)[:60]}: a sample at {last:g} s, beyond a day; is it in seconds?"
            )
        if samples.values.size > MAX_NUMBERS:
            raise UserError(f"{one_line(samples.name)[:60]}: more than {MAX_NUMBERS} numbers")
        with np.errstate(over="ignore"):
            values = samples.values[keep].astype(np.float32)
        missing = set(np.flatnonzero(~np.isfinite(values).all(1)).tolist())
        for k, time in enumerate(np.rint(samples.times[keep] * SECOND).astype(np.int64).tolist()):
            rows.append((Sample(name, time, None if k in missing else values[k], k), time))
    described: dict[str, Any] = {
        "schemas": {name: samples.schema for name, samples in modalities.items()},
        "dims": {name: samples.values.shape[1] for name, samples in modalities.items()},
        "features": {name: list(samples.features) for name, samples in modalities.items()},
    }
    ages = {name: _max_age(samples) for name, samples in modalities.items()}
    marks: list[tuple[int, str]] = []
    if base is not None:
        marks = _take_over(base, described, ages, rows)
    rows.sort(key=lambda row: row[1])
    end = max(sample.originating_time for sample, _ in rows)
    with _whole(folder) as part:
        with SessionWriter(part, {**described, "rate": RATE, "imported": source}) as writer:
            for sample, arrived in rows:
                writer.sample(sample, arrived)
            for observation in aligned(Aligner(0, RATE, ages), (sample for sample, _ in rows), end):
                writer.observation(observation)
            for time, label in marks:
                writer.mark(time, label)
        if base is not None:
            for path in labels.paths(base):
                labels.write(labels.read(path), part / labels.FOLDER / path.name)
    return end / SECOND


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A hidden folder to write into, which gets its name when it is whole; otherwise nothing is left."""
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty; give a new folder for the session")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        yield part
        if folder.is_dir():
            folder.rmdir()
        part.rename(folder)
    except UserError as error:
        reason = str(error).replace(str(part), str(folder)).partition(";")[0]
        raise UserError(f"{reason}; nothing of the session is left") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _take_over(
    base: Path, described: dict[str, Any], ages: dict[str, int], rows: list[tuple[Sample, int]]
) -> list[tuple[int, str]]:
    """Add what another session has to these; gives its marks."""
    reader = SessionReader(base)
    if lost := reader.lost:
        raise UserError(f"{base}: {lost[0]}; take a session that is whole")
    for modality, schema in reader.schemas.items():
        if modality in described["schemas"]:
            raise UserError(f"{base}: has a modality {modality} already; name the new one with --modality")
        described["schemas"][modality] = schema.name or None
        described["dims"][modality] = schema.dim
        ages[modality] = round((schema.max_age or DEFAULT_MAX_AGE / RATE) * SECOND)
        rows += reader.samples(modality)
    return list(reader.marks())


def _rating(text: str, dimension: Dimension) -> float | None:
    level = dimension.value_of(text)
    value = number(text) if level is None else level
    return None if math.isnan(value) else value


def _max_age(samples: Samples) -> int:
    known = SCHEMAS.get(samples.schema or "")
    steps = np.diff(np.sort(samples.times))
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1 / RATE
    age = known.max_age if known is not None and known.max_age else DEFAULT_MAX_AGE * max(usual, 1 / RATE)
    return round(min(age, 3600.0) * SECOND)


def _union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that do not overlap, which cover the same times."""
    found: list[tuple[float, float]] = []
    for start, end in sorted((s, e) for s, e in spans if e > s):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found
