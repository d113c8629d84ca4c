"""What is in a recording: tracks of a media file, streams of XDF, modalities of a recorded session."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..contracts.errors import UserError, one_line
from ..realtime.sources.limits import LIMITS, Limits
from ..realtime.streams.samples import SECOND
from .tables import print_table


@dataclass(frozen=True, slots=True)
class Part:
    """A track, a stream or a modality.

    Attributes:
        name: how to ask for it, and what it is.
        start, end: seconds on the recording's own axis, of XDF since the first sample; None if unknown.
        samples: how many, None if not counted.
        taken: whether a replay takes it, if nothing else is asked for.
    """

    name: str
    start: float | None
    end: float | None
    samples: int | None
    taken: bool


@dataclass(frozen=True, slots=True)
class Content:
    """A recording of some kind; `problems` has what of it cannot be read, a line each."""

    path: str
    kind: str
    duration: float | None
    parts: Sequence[Part]
    problems: Sequence[str] = ()


def inspect_recording(path: Path, bundle: str, as_json: bool, limits: Limits | None = None) -> int:
    """Print what is in it, and what a replay with that bundle takes; 1 if some of it cannot be read."""
    from ..realtime.sources.xdf_file import is_xdf
    from ..realtime.store.group import is_group

    if is_group(path):
        content = _group(path)
    elif path.is_dir():
        content = _session(path)
    else:
        content = _xdf(path, bundle) if is_xdf(path) else _media(path, limits)
    if as_json:
        print(json.dumps(asdict(content), indent=2, ensure_ascii=False))
    else:
        _print(content)
        for line in content.problems:
            print(f"enrapt: {path}: {line}", file=sys.stderr)
    return int(bool(content.problems))


def _media(path: Path, limits: Limits | None) -> Content:
    from ..realtime.sources.recording import Recording

    recording = Recording(path, limits=limits or LIMITS)
    parts = []
    for track in recording.tracks:
        end = None if track.start is None or track.duration is None else track.start + track.duration
        taken = track in (recording.video, recording.audio)
        parts.append(Part(str(track), track.start, end, None, taken))
    return Content(str(path), "media", recording.duration, parts)


def _session(path: Path) -> Content:
    from ..realtime.store.reader import SessionReader

    reader = SessionReader(path)
    parts, last = [], 0
    for modality, schema in reader.schemas.items():
        times = [sample.originating_time for sample, _ in reader.samples(modality)]
        last = max([last, *times])
        name = f"{modality}: {schema.dim} numbers" + f", {schema.name}" * bool(schema.name)
        begin, end = (min(times) / SECOND, max(times) / SECOND) if times else (None, None)
        parts.append(Part(name, begin, end, len(times), True))
    duration = reader.ended if reader.ended is not None else last
    return Content(str(path), "session", duration / SECOND, parts, reader.lost)


def _group(path: Path) -> Content:
    """The modalities of each person, with times on the axis that all share."""
    from ..realtime.store.group import read_group

    parts: list[Part] = []
    problems: list[str] = []
    last = 0.0
    for member in read_group(path).people:
        try:
            session = _session(path / member.person)
        except UserError as error:
            problems.append(str(error))
            continue
        last = max(last, member.common(session.duration or 0.0))
        problems += [f"{member.person}: {line}" for line in session.problems]
        for part in session.parts:
            start, end = (None if t is None else member.common(t) for t in (part.start, part.end))
            parts.append(Part(f"{member.person}: {part.name}", start, end, part.samples, part.taken))
    return Content(str(path), "session of several people", last, parts, problems)


def _xdf(path: Path, bundle: str) -> Content:
    from ..bundle.bundle import Bundle
    from ..realtime.sources.xdf import XdfSource
    from ..realtime.sources.xdf_file import read_contents

    contents, source = read_contents(path), XdfSource(path)
    problems = list(contents.problems)
    try:
        source.offers([m for m in Bundle.load(bundle).metadata.inputs if m.role == "observed"])
    except UserError as error:
        problems.append(f"not replayed like this: {str(error).removeprefix(f'{path}: ')}")
    spans = [stream.span for stream in contents.streams if stream.span is not None]
    first, last = min((a for a, _ in spans), default=0.0), max((b for _, b in spans), default=0.0)
    parts = []
    for stream in contents.streams:
        name = f"stream {stream.number}: {stream}"
        begin, end = (None, None) if stream.span is None else (t - first for t in stream.span)
        parts.append(Part(name, begin, end, stream.samples, name in source.taken.values()))
    return Content(str(path), "XDF", last - first, parts, [*contents.notes, *problems])


def _print(content: Content) -> None:
    length = "" if content.duration is None else f", {content.duration:.2f} s"
    print(f"{content.path}: {content.kind}{length}\n", flush=True)
    rows = []
    for part in content.parts:
        times = ["" if t is None else f"{t:.2f} s" for t in (part.start, part.end)]
        samples = "" if part.samples is None else str(part.samples)
        rows.append([one_line(part.name), *times, samples, "yes" if part.taken else "no"])
    print_table("", ["from", "to", "samples"], "taken", rows)
