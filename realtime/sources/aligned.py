"""Samples of a recording that are all there: on one axis, on the ticks of a bundle, and for the recorder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ...contracts.errors import UserError
from ..streams.alignment import Aligner
from ..streams.axis import BACK
from ..streams.axis_arrays import Placed, Times, apart, axis_of_arrays
from ..streams.samples import SECOND, Observation, Sample
from .source import Source, Wanted

TICKS: Final = ""  # stands for the ticks of a session, among the names of modalities

_LONGEST: Final = 1e7  # s; of a gap that stays: no sum of gaps overflows


def one_axis(
    times: Mapping[str, Times],
    wanted: Sequence[Wanted],
    max_gap: float,
    *,
    names: Mapping[str, str],
    zero: int = 0,
    back: int = BACK,
    origin: int | None = None,
) -> Placed:
    """The times of modalities on one axis, see `streams.axis_arrays`.

    Args:
        times: with the offsets of `wanted`; ns since `zero`, itself ns.
        max_gap: s.
        names: for messages.
        back, origin: see `axis_of_arrays`.

    Raises:
        UserError: some share no time.
    """
    limit = round(min(max_gap, _LONGEST) * SECOND)
    placed = axis_of_arrays(times, limit, back, origin)
    spans = {name: stream.span for name, stream in placed.streams.items() if stream.own.size}
    if pair := apart(spans, limit):
        shown = [
            f"{names[name]} lasts from {(begin + zero) / SECOND:.2f} to {(end + zero) / SECOND:.2f} s"
            for name, (begin, end) in ((name, spans[name]) for name in pair)
        ]
        name, other = pair if pair[1] == TICKS else pair[::-1]
        offset = next(w.offset for w in wanted if w.name == name) + spans[other][0] - spans[name][0]
        raise UserError(
            f"{', '.join(shown)}: they share no time; shift one with --offset NAME=SECONDS "
            f"({name}={offset / SECOND:.2f} lets them begin together)"
        )
    placed.segments = [(name, replace(s, begin=s.begin + zero)) for name, s in placed.segments]
    return placed


def notes_of(placed: Placed, names: Mapping[str, str]) -> list[str]:
    """What was left out for its time, a line each."""
    lines = []
    for name, stream in placed.streams.items():
        if outliers := stream.kept.size - stream.own.size:
            lines.append(f"{names[name]}: {outliers} samples left out, whose times are far from all others")
    return lines


def aligned(aligner: Aligner, samples: Iterable[Sample], last: int) -> Iterator[Observation]:
    """Observations up to `last` (ns), as if no sample had been late; samples come in any order."""
    for sample in samples:
        aligner.push(sample)
    try:
        yield from aligner.release_until(last)
    finally:
        aligner.finish()


def recorded(
    source: Source, observations: Iterable[Observation], samples: Iterable[tuple[Sample, int]]
) -> Iterator[Observation]:
    """The observations; the samples go to the source's `arrivals`, if they are wanted, at their times.

    `samples` has the time at which each came, ns, in that order; it is read only if wanted.
    """
    left = iter(samples if source.arrivals is not None else ())
    following = next(left, None)
    for observation in observations:
        while following is not None and following[1] <= observation.time:
            if source.arrivals is not None and not source.paused:
                source.arrivals.append(following)
            following = next(left, None)
        yield observation
    if following is not None and source.arrivals is not None:
        source.arrivals += [following, *left]
