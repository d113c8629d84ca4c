"""A recorded session goes in, one estimate per tick comes out."""

import time
from collections.abc import Iterator

import numpy as np

from ..contracts.errors import UserError
from ..contracts.schemas import schema
from .alignment import END, Aligner
from .counts import Counts
from .engine import Engine
from .estimate import Estimate, Latency, estimate_of
from .live import RESET
from .samples import SECOND, Observation
from .session_reader import SessionReader


class SessionReplay:
    """The estimates of a recorded session; iterate once.

    The model is shown what it was shown live, so the same bundle gives the same estimates, latencies aside.

    Args:
        reassemble: align the raw samples anew, as if none had been late, instead of showing what was
            assembled live.

    Attributes:
        counts: by modality, where raw samples went; empty unless reassembled.
        observation: what the model was shown for the latest estimate.

    Raises:
        UserError: at construction; the session's ticks do not come at the bundle's rate.
    """

    def __init__(self, reader: SessionReader, engine: Engine, reassemble: bool = False) -> None:
        self._reader, self._engine = reader, engine
        if not reassemble and (rate := reader.description.get("rate")) != engine.rate:
            raise UserError(f"the session has {rate} ticks a second, not {engine.rate}: add --reassemble")
        self._observations = self._aligned() if reassemble else reader.observations()
        context = reader.description.get("context", {})
        self._context = {k: np.asarray(v, np.float32) for k, v in context.items() if k in engine.inputs}
        self.counts: dict[str, Counts] = {}
        self.observation: Observation | None = None

    def __iter__(self) -> Iterator[Estimate]:
        self._engine.reset()
        resets = [time for time, label in self._reader.marks() if label == RESET]
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
            yield estimate_of(observation, step, Latency(None, step_ms, None))

    def _aligned(self) -> Iterator[Observation]:
        schemas: dict[str, str] = self._reader.description["schemas"]
        first = next(self._reader.observations(), None)
        if first is None:
            return
        ages = {modality: round(schema(name).max_age * SECOND) for modality, name in schemas.items()}
        aligner = Aligner(first.time, self._engine.rate, ages)
        self.counts = aligner.counts
        end = first.time
        for last in self._reader.observations():
            end = last.time
        for modality in schemas:
            for sample, _ in self._reader.samples(modality):
                aligner.push(sample)
            aligner.advance(modality, END)
        yield from aligner.release_until(end)
        aligner.finish()
