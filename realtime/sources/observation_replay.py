"""Observations, or samples that were kept, go in, one estimate per tick comes out."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import schema
from ..engine.engine import Engine
from ..engine.estimate import Estimate, Latency, estimate_of
from ..streams.alignment import END, Aligner
from ..streams.counts import Counts
from ..streams.samples import SECOND, Observation, Sample
from .live import RESET


class ObservationReplay:
    """The estimates of observations; iterate once.

    Args:
        observations: to be shown to the model, in order.
        context: raw values of context modalities, constant.
        marks: time, ns, and label of each, in order; at a `RESET` the model forgets everything.

    Attributes:
        counts: by modality, where samples went; complete when the iteration is over.
        observation: what the model was shown for the latest estimate.
        marks: as given.
    """

    def __init__(
        self,
        engine: Engine,
        observations: Iterable[Observation],
        counts: Mapping[str, Counts],
        context: dict[str, NDArray[np.float32]],
        marks: Sequence[tuple[int, str]],
    ) -> None:
        self._engine, self._observations, self._context = engine, observations, context
        self.counts = counts
        self.marks = marks
        self.observation: Observation | None = None

    def __iter__(self) -> Iterator[Estimate]:
        self._engine.reset()
        resets = [time for time, label in self.marks if label == RESET]
        for observation in self._observations:
            self.observation = observation
            if resets and resets[0] <= observation.time:
                resets = [time for time in resets if time > observation.time]
                self._engine.reset()
            values = {k: v for k, v in observation.values.items() if k in self._engine.inputs}
            began = time.perf_counter_ns()
            step = self._engine.step(values | self._context)
            step_ms = (time.perf_counter_ns() - began) / 1e6
            # Of what this bundle does not take, nothing is expected.
            step.surprise.update(dict.fromkeys(observation.values.keys() - values.keys()))
            yield estimate_of(observation, step, Latency(step_ms))


class Reassembled:
    """Samples on the ticks of a rate, as if none had been late; iterate once.

    Args:
        samples: by modality, in any order.
        schemas: by modality, also of those that have no samples.
        first, last: ns; the time of the first tick, and where ticks end.

    Attributes:
        counts: by modality, where samples went; complete when the iteration is over.
    """

    def __init__(
        self,
        samples: Mapping[str, Iterable[Sample]],
        schemas: Mapping[str, str],
        rate: int,
        first: int,
        last: int,
    ) -> None:
        ages = {modality: round(schema(name).max_age * SECOND) for modality, name in schemas.items()}
        self._aligner = Aligner(first, rate, ages)
        self._samples, self._last = samples, last
        self.counts = self._aligner.counts

    def __iter__(self) -> Iterator[Observation]:
        for modality in self.counts:
            for sample in self._samples.get(modality, ()):
                self._aligner.push(sample)
            self._aligner.advance(modality, END)
        yield from self._aligner.release_until(self._last)
        self._aligner.finish()
