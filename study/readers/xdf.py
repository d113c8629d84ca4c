"""XDF, the recordings of LabRecorder: markers as spans, streams of numbers as samples.

Time 0 is the first sample of all streams that are read, as in a replay of the file. A marker holds until
the next one of its stream, or the end.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...contracts.errors import UserError, one_line
from ...realtime.sources.xdf_file import load_streams, read_contents
from .contents import MAX_NUMBERS, MAX_SPANS, Samples, Spans, Track


def read_xdf(path: Path, names: Sequence[str] = ()) -> list[Track]:
    """The streams, by the recorder's clock; those with a stamp that is not finite lose that sample.

    Args:
        names: of the streams to read; all, if there are none.

    Raises:
        UserError: the file cannot be read; pyxdf is missing; there is no such stream.
    """
    contents = read_contents(path)
    chosen = [s for s in contents.streams if s.samples and (not names or s.name in names)]
    if not chosen:
        have = ", ".join(map(str, contents.streams)) or "none"
        raise UserError(one_line(f"{path}: no such stream with samples; it has {have}"))
    if sum(s.samples * max(s.shape.channels, 1) for s in chosen) > MAX_NUMBERS:
        raise UserError(f"{path}: more than {MAX_NUMBERS} numbers; choose streams with --tier")
    data = load_streams(path, contents, [s.number for s in chosen])
    loaded = [(s, data[s.number]) for s in chosen if s.number in data]
    stamps = [np.asarray(d["time_stamps"], float) for _, d in loaded]
    whole = [np.isfinite(times) for times in stamps]
    every = np.concatenate([times[kept] for times, kept in zip(stamps, whole, strict=True)])
    zero = every.min(initial=math.inf) if every.size else 0.0
    last = every.max(initial=-math.inf) - zero
    tracks: list[Track] = []
    notes = (*contents.notes, *contents.problems)
    for (stream, d), times, kept in zip(loaded, stamps, whole, strict=True):
        at = times[kept] - zero
        if stream.shape.strings:
            text = [" ".join(map(str, row)) for row, keep in zip(d["time_series"], kept, strict=True) if keep]
            if len(text) > MAX_SPANS:
                raise UserError(f"{path}: more than {MAX_SPANS} markers in {stream.name}")
            end = np.append(at[1:], last)[: len(at)]
            tracks.append(Spans(stream.name, at, end, text, np.full(len(text), np.nan)))
        else:
            with np.errstate(invalid="ignore"):  # bits that are no number
                values = np.asarray(d["time_series"], float).reshape(len(times), -1)[kept]
            values[~np.isfinite(values).all(1)] = np.nan
            features = tuple(f"x{k}" for k in range(values.shape[1]))
            tracks.append(Samples(stream.name, at, values, features, notes=notes))
    return tracks
