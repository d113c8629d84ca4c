"""The estimate of one tick, and its JSON: one object a line."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..streams.samples import SECOND, Observation, Timing, View

if TYPE_CHECKING:
    from .engine import Step  # which needs ONNX Runtime


class Engagement(msgspec.Struct, frozen=True):
    """The predictive distribution on 0 to 1: mean, standard deviation, central 90 % interval."""

    mean: float
    std: float
    low: float
    high: float


class Latency(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a tick took, ms.

    Attributes:
        step: the model's step.
        total: from the newest data of the tick to the estimate. Data count from when they were decoded or,
            paced by the clock, from their originating time. None if nothing is new.
        tick: in a live session, from the tick's time to the estimate.
        extract: feature extraction of the newest sample of each modality; only of those that have a new one.
        waits: in a live session, from the tick's time until the watermark of each modality had passed it;
            only of those that arrived before the tick was emitted.
    """

    step: float
    total: float | None = None
    tick: float | None = None
    extract: dict[str, float] = {}
    waits: dict[str, float] = {}


def latency_of(timing: Timing, began: int, ended: int) -> Latency:
    """Of a tick whose material came as `timing` says; its step began and ended then, `time.monotonic_ns`."""
    return Latency(
        step=(ended - began) / 1e6,
        total=None if timing.newest is None else (ended - timing.newest) / 1e6,
        tick=None if timing.due is None else (ended - timing.due) / 1e6,
        extract=timing.extract,
        waits=timing.waits,
    )


def stages(latency: Latency) -> Iterator[tuple[str, float]]:
    """The latencies by name, ms: one of each stage that the tick had."""
    for modality, ms in latency.extract.items():
        yield f"extract {modality}", ms
    for stage in ("step", "total", "tick"):
        if (ms := getattr(latency, stage)) is not None:
            yield stage, ms
    for modality, ms in latency.waits.items():
        yield f"wait for {modality}", ms


class Estimate(msgspec.Struct, frozen=True):
    """The model's estimate at one tick.

    Attributes:
        tick: its number, from 0.
        t: seconds on the recording's axis.
        present: whether each modality has a value at this tick.
        age_ms: from the value's originating time to the tick; None where missing.
        surprise: nats; negative log-likelihood of each present modality under the prediction made before
            seeing it; None where missing.
        latency_ms: absent without timing: everything else is the same in every run.
        faces: in view, in the newest picture; None, like what follows, without a picture that is new enough.
        person: id of the one whose face is taken, from 1; None before one is chosen.
        box: left, top, width and height of that face, as shares of the picture; None if not in view.
        face_quality: 0..1, of that face; None if not in view.
        face_problem: why it is not good enough and counts as missing.
        wall_clock: of the tick; absent where nobody knows. Outputs have it, with what follows; a recorded
            session has `started` and its marks instead.
        marks: labels since the tick before; absent without any.
    """

    tick: int
    t: float
    engagement: Engagement
    present: dict[str, bool]
    age_ms: dict[str, float | None]
    surprise: dict[str, float | None]
    latency_ms: Latency | msgspec.UnsetType = msgspec.UNSET
    faces: int | None = None
    person: int | None = None
    box: tuple[float, float, float, float] | None = None
    face_quality: float | None = None
    face_problem: str | None = None
    wall_clock: datetime.datetime | msgspec.UnsetType = msgspec.UNSET
    marks: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    def without_timing(self) -> "Estimate":
        """The same without latencies: the part that is byte-identical in two replays of one file."""
        return msgspec.structs.replace(self, latency_ms=msgspec.UNSET)

    def stamped(self, wall_clock: datetime.datetime | None, marks: Sequence[str]) -> "Estimate":
        """The same with a wall-clock time and marks, as outputs have it."""
        return msgspec.structs.replace(
            self,
            wall_clock=msgspec.UNSET if wall_clock is None else wall_clock,
            marks=tuple(marks) or msgspec.UNSET,
        )


def estimate_of(observation: Observation, step: "Step", latency: Latency) -> Estimate:
    """The estimate of a tick, rounded to the digits that carry information.

    Modalities are in the observation's order; others are left out.
    """
    view = observation.view
    estimate = Estimate(
        tick=observation.tick,
        t=round(observation.time / SECOND, 6),
        engagement=Engagement(*(round(x, 4) for x in (step.mean, step.std, step.low, step.high))),
        present={modality: value is not None for modality, value in observation.values.items()},
        age_ms={m: None if age is None else round(age / 1e6, 1) for m, age in observation.age.items()},
        surprise={modality: _digits(step.surprise[modality]) for modality in observation.values},
        latency_ms=Latency(
            step=round(latency.step, 3),
            total=_digits(latency.total),
            tick=_digits(latency.tick),
            extract=_in_order(latency.extract, observation),
            waits=_in_order(latency.waits, observation),
        ),
    )
    return estimate if view is None else msgspec.structs.replace(estimate, **_of_view(view))


def _of_view(view: View) -> dict[str, Any]:
    box = None if view.box is None else tuple(round(share, 4) for share in view.box)
    of_face = {"box": box, "face_quality": _digits(view.quality), "face_problem": view.problem}
    return {"faces": view.faces, "person": view.person, **of_face}


def _digits(x: float | None) -> float | None:
    return None if x is None else round(x, 3)


def _in_order(ms: Mapping[str, float], observation: Observation) -> dict[str, float]:
    return {modality: round(ms[modality], 3) for modality in observation.values if modality in ms}
