"""Samples of a recording on the ticks of a bundle, as if none had been late."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from ..streams.alignment import END, Aligner
from ..streams.counts import Counts
from ..streams.samples import Observation, Sample
from .source import Source, Wanted


def aligned(
    samples: Mapping[str, Iterable[Sample]], wanted: Sequence[Wanted], rate: int, first: int, last: int
) -> tuple[Generator[Observation], Mapping[str, Counts]]:
    """Observations of samples that are all there, and where these went: complete after the iteration.

    Args:
        samples: by offer, in any order.
        first, last: ns; the time of the first tick, and where ticks end.
    """
    aligner = Aligner(first, rate, {w.name: w.max_age for w in wanted})

    def observations() -> Generator[Observation]:
        for w in wanted:
            for sample in () if w.offer is None else samples.get(w.offer.name, ()):
                aligner.push(replace(sample, modality=w.name))
            aligner.advance(w.name, END)
        try:
            yield from aligner.release_until(last)
        finally:
            aligner.finish()

    return observations(), aligner.counts


def recorded(
    source: Source, observations: Generator[Observation], samples: Iterable[tuple[Sample, int]]
) -> Iterator[Observation]:
    """The observations; the samples go to the source's `arrivals`, if they are wanted, at their times.

    Args:
        samples: with the time at which each came, ns, in that order; read only if wanted.
    """
    left = iter(samples if source.arrivals is not None else ())
    following = next(left, None)
    with closing(observations):  # where the run ends early, so that counts are complete
        for observation in observations:
            while following is not None and following[1] <= observation.time:
                if source.arrivals is not None and not source.paused:
                    source.arrivals.append(following)
                following = next(left, None)
            yield observation
    if following is not None and source.arrivals is not None:
        source.arrivals += [following, *left]
