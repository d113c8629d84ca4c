"""Labels and estimates of a session for other programs: ELAN (`.eaf`) and CSV."""

import csv
import datetime
import io
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ..contracts.errors import UserError, one_line
from ..contracts.files import atomic_file
from ..realtime.engine.columns import joined
from ..realtime.engine.estimate import Estimate
from ..realtime.recorder import MEDIA
from ..realtime.store.private import make_private
from ..realtime.store.reader import SessionReader
from ..realtime.streams import wall_clock
from ..realtime.streams.samples import SECOND
from . import consensus_labels, labels
from .ratings import Array, Intervals, Label, Whole

_STEP: Final = 1.0  # s; of the annotations of what changes all the time
_MIME: Final = {".mkv": "video/x-matroska", ".mp4": "video/mp4", ".wav": "audio/x-wav"}

_Rows = list[tuple[float, float, str]]  # start and end, s, and text


def write_labels(
    session: Path, path: Path, *, media: Path | None = None, overwrite: bool = False
) -> list[str]:
    """Write estimates and labels of a session; give what was written, a line each.

    `.eaf`: a tier for each rater and dimension, one of the estimates of each person, and one of marks, linked
    to the media; the property `started` is the wall-clock time of 0 ms. What changes all the time becomes its
    mean over each second. `.csv`: a row for each tick that was estimated, or, without estimates, for each
    tenth of a second that is rated.

    Args:
        media: the file to which an `.eaf` is linked; None: the session's own, if it has one.

    Raises:
        UserError: a session or labels cannot be read; there is nothing to write; such a file exists.
    """
    reader = SessionReader(session)
    estimates = list(reader.estimates())
    rated = [*labels.of_session(session), *consensus_labels.of_session(session)]
    if not estimates and not any(label.rated for label in rated):
        raise UserError(f"{session}: has neither estimates nor labels")
    if path.suffix == ".eaf":
        own = session / MEDIA
        content, lines = _eaf(reader, estimates, rated, media or (own if own.is_file() else None), path)
    elif path.suffix == ".csv":
        content, lines = _csv(reader, estimates, rated)
    else:
        raise UserError(f"{path}: name a file that ends in .eaf or .csv")
    with atomic_file(path) as stream:
        make_private(Path(stream.name))
        stream.write(content)
        if not overwrite and os.path.lexists(path):
            raise UserError(f"{path}: exists and is kept; --overwrite replaces it")
    return lines


def _eaf(
    reader: SessionReader,
    estimates: Sequence[Estimate],
    rated: Sequence[Label],
    media: Path | None,
    path: Path,
) -> tuple[bytes, list[str]]:
    whole = (0.0, max([(reader.ended or 0) / SECOND, *(e.t for e in estimates[-1:])]))
    tiers = {f"{label.dimension}.{label.rater}": _rows(label, whole) for label in rated}
    tiers |= {name: _estimated(some) for name, some in _by_person(estimates).items()}
    if marks := _marks(reader):
        tiers["marks"] = marks
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    root = ET.Element("ANNOTATION_DOCUMENT", AUTHOR="enrapt", DATE=now, FORMAT="3.0", VERSION="3.0")
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root.set("xsi:noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/EAFv3.0.xsd")
    header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if media is not None:
        relative = Path(os.path.relpath(media, path.parent)).as_posix()
        mime = _MIME.get(media.suffix.lower(), "unknown")
        ET.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            MEDIA_URL=media.resolve().as_uri(),
            RELATIVE_MEDIA_URL=f"./{relative}",
            MIME_TYPE=mime,
        )
    if reader.began is not None:  # the wall-clock time of 0 ms
        ET.SubElement(header, "PROPERTY", NAME="started").text = wall_clock.iso(reader.began)
    order = ET.SubElement(root, "TIME_ORDER")
    times = sorted({_ms(t) for rows in tiers.values() for start, end, _ in rows for t in (start, end)})
    for k, time in enumerate(times):
        ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{k + 1}", TIME_VALUE=str(time))
    slots = {time: f"ts{k + 1}" for k, time in enumerate(times)}
    count, lines = 0, []
    for name, rows in tiers.items():
        tier = ET.SubElement(root, "TIER", TIER_ID=name, LINGUISTIC_TYPE_REF="default-lt")
        for start, end, text in rows:
            if _ms(end) <= _ms(start):
                continue
            count += 1
            annotation = ET.SubElement(
                ET.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{count}",
                TIME_SLOT_REF1=slots[_ms(start)],
                TIME_SLOT_REF2=slots[_ms(end)],
            )
            ET.SubElement(annotation, "ANNOTATION_VALUE").text = text
        lines.append(f"{name}: {len(rows)} annotations")
    kind = {"LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    ET.SubElement(root, "LINGUISTIC_TYPE", kind)
    ET.indent(root)
    return ET.tostring(root, "utf-8", xml_declaration=True), lines


def _csv(
    reader: SessionReader, estimates: Sequence[Estimate], rated: Sequence[Label]
) -> tuple[bytes, list[str]]:
    names = [f"{label.dimension}.{label.rater}" for label in rated]
    if estimates:
        times = np.array([estimate.t for estimate in estimates])
    else:
        spans = [label.span for label in rated if label.span is not None]
        first, last = min((a for a, _ in spans), default=0.0), max((b for _, b in spans), default=0.0)
        times = np.round(np.arange(math.floor(first * 10), math.ceil(last * 10) + 1) / 10, 6)
    columns = [label.at(times).tolist() for label in rated]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ["person", "engagement_mean", "engagement_std", "engagement_low", "engagement_high"]
    writer.writerow(["t", "wall_clock", "marks", *(heads if estimates else []), *names])
    marks = sorted(((time / SECOND, label) for time, label in reader.marks()), reverse=True)
    for k, time in enumerate(times.tolist()):
        labels = []
        while marks and marks[-1][0] <= time:
            labels.append(marks.pop()[1])
        at = wall_clock.at(reader.began, time)
        row: list[object] = [time, None if at is None else wall_clock.iso(at), joined(labels)]
        if estimates:
            e = estimates[k].engagement
            row += [estimates[k].person, e.mean, e.std, e.low, e.high]
        writer.writerow([*row, *("" if math.isnan(column[k]) else column[k] for column in columns)])
    return text.getvalue().encode(), [f"{len(times)} rows of {', '.join(names) or 'estimates'}"]


def _marks(reader: SessionReader) -> _Rows:
    """Each until the next, a second at most: annotations have a length and do not overlap."""
    marks: dict[int, str] = {}
    for time, label in sorted(reader.marks()):
        ms = time // 1_000_000
        marks[ms] = joined([marks[ms], label]) if ms in marks else str(label)
    ends = [*marks, math.inf][1:]
    return [
        (ms / 1000, min(ms / 1000 + _STEP, end / 1000), one_line(text))
        for (ms, text), end in zip(marks.items(), ends, strict=True)
        if ms >= 0
    ]


def _rows(label: Label, whole: tuple[float, float]) -> _Rows:
    if isinstance(label, Whole):
        return [(*whole, f"{label.value[0]:g}")]
    if isinstance(label, Intervals):
        rows = zip(label.start.tolist(), label.end.tolist(), label.value.tolist(), strict=True)
        return [(start, end, f"{value:g}") for start, end, value in rows]
    if label.span is None:
        return []
    return _means(label.span, label.at)


def _by_person(estimates: Sequence[Estimate]) -> dict[str, list[Estimate]]:
    people: dict[str, list[Estimate]] = {}
    several = len({e.person for e in estimates if e.person is not None}) > 1
    for e in estimates:
        name = f"estimate.{e.person}" if several and e.person is not None else "estimate"
        people.setdefault(name, []).append(e)
    return people


def _estimated(estimates: Sequence[Estimate]) -> _Rows:
    t = np.array([e.t for e in estimates])
    mean = np.array([e.engagement.mean for e in estimates])

    def at(times: Array) -> Array:
        place = np.searchsorted(t, times, "right") - 1
        fresh = (place >= 0) & (times - t[np.maximum(place, 0)] <= _STEP)
        return np.where(fresh, mean[np.maximum(place, 0)], np.nan)

    return _means((float(t[0]), float(t[-1])), at)


def _means(span: tuple[float, float], at: Callable[[Array], Array]) -> _Rows:
    """The mean over each second in which there is something."""
    rows = []
    for start in np.arange(math.floor(span[0]), span[1], _STEP).tolist():
        values = at(start + (np.arange(25) + 0.5) / 25 * _STEP)
        if (values := values[~np.isnan(values)]).size:
            rows.append((max(start, span[0]), min(start + _STEP, span[1]), f"{values.mean():.3f}"))
    return rows


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
