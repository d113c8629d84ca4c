"""Samples of a recording that are all there: on the ticks of a bundle, and for the recorder of a replay."""

from collections.abc import Iterable, Iterator

from ..streams.alignment import Aligner
from ..streams.samples import Observation, Sample
from .source import Source


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
