"""A recorded session goes in, one estimate per tick comes out."""

import numpy as np

from ...contracts.errors import UserError
from ..engine.engine import Engine
from ..store.reader import SessionReader
from .observation_replay import ObservationReplay, Reassembled


class SessionReplay(ObservationReplay):
    """The estimates of a recorded session.

    The model is shown what it was shown live, so the same bundle gives the same estimates, latencies aside.

    Args:
        reassemble: align the raw samples anew, as if none had been late, instead of showing what was
            assembled live. Otherwise `counts` is empty.

    Raises:
        UserError: at construction; the session's ticks do not come at the bundle's rate.
    """

    def __init__(self, reader: SessionReader, engine: Engine, reassemble: bool = False) -> None:
        if not reassemble and (rate := reader.description.get("rate")) != engine.rate:
            raise UserError(f"the session has {rate} ticks a second, not {engine.rate}: add --reassemble")
        context = reader.description.get("context", {})
        again = _again(reader, engine.rate) if reassemble else None
        super().__init__(
            engine,
            reader.observations() if again is None else again,
            {} if again is None else again.counts,
            {k: np.asarray(v, np.float32) for k, v in context.items() if k in engine.inputs},
            list(reader.marks()),
        )


def _again(reader: SessionReader, rate: int) -> Reassembled:
    schemas: dict[str, str] = reader.description["schemas"]
    times = [observation.time for observation in reader.observations()]
    samples = {m: (sample for sample, _ in reader.samples(m)) for m in schemas}
    # Of a session without a tick there is nothing to tell.
    return Reassembled(samples, schemas, rate, times[0] if times else 0, times[-1] if times else -1)
