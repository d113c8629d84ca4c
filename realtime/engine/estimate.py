"""What a tick gives, and its JSON: one object a line."""

import msgspec

from ..streams.samples import SECOND, Observation
from .engine import Step


class Engagement(msgspec.Struct, frozen=True):
    """The predictive distribution on 0 to 1: mean, standard deviation, central 90 % interval."""

    mean: float
    std: float
    low: float
    high: float


class Latency(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a tick took, ms.

    Attributes:
        face: extraction of the picture that is new at this tick; None where none is.
        step: the model's step.
        total: from the newest material of the tick to the estimate. Material counts from when it was decoded
            or, paced by the clock, from its originating time. None where none is new.
        tick: in a live session, from the tick's time to the estimate.
        waits: in a live session, from the tick's time until each modality had brought what it has up to it;
            left out where the tick did not wait for it any longer.
    """

    face: float | None
    step: float
    total: float | None
    tick: float | None = None
    waits: dict[str, float] = {}


class Estimate(msgspec.Struct, frozen=True):
    """One tick.

    Attributes:
        tick: its number, from 0.
        t: seconds on the recording's axis.
        present: by modality.
        age_ms: from the value's originating time to the tick; None where missing.
        surprise: nats; negative log-likelihood of what was seen under the prediction made before seeing it;
            None where missing.
        latency_ms: left out where timing is not wanted: all the rest repeats exactly.
    """

    tick: int
    t: float
    engagement: Engagement
    present: dict[str, bool]
    age_ms: dict[str, float | None]
    surprise: dict[str, float | None]
    latency_ms: Latency | msgspec.UnsetType = msgspec.UNSET

    def without_timing(self) -> "Estimate":
        """The same without its latencies: what two replays of one file have in common, byte for byte."""
        return msgspec.structs.replace(self, latency_ms=msgspec.UNSET)


def estimate_of(observation: Observation, step: Step, latency: Latency) -> Estimate:
    """The estimate of a tick, in digits worth reading."""
    return Estimate(
        tick=observation.tick,
        t=round(observation.time / SECOND, 6),
        engagement=Engagement(*(round(x, 4) for x in (step.mean, step.std, step.low, step.high))),
        present={modality: value is not None for modality, value in observation.values.items()},
        age_ms={
            modality: None if age is None else round(age / 1e6, 1)
            for modality, age in observation.age.items()
        },
        surprise={modality: _digits(step.surprise[modality], 3) for modality in observation.values},
        latency_ms=Latency(
            _digits(latency.face, 3),
            round(latency.step, 3),
            _digits(latency.total, 3),
            _digits(latency.tick, 3),
            {modality: round(ms, 3) for modality, ms in latency.waits.items()},
        ),
    )


def _digits(x: float | None, digits: int) -> float | None:
    return None if x is None else round(x, digits)
