"""The summary at the end of a run."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..realtime.streams.counts import Counts
from ..realtime.streams.samples import SECOND

if TYPE_CHECKING:
    from ..realtime.run import Run

_REPAIRS: Final = 5  # of the repairs of time that are shown


def summary(run: "Run", wall: float) -> str:
    """A run of `wall` seconds: ticks, presence, latencies, and what became of every sample and estimate."""
    ticks = run.statistics.ticks
    lines = [
        f"{ticks} ticks in {wall:.1f} s: {ticks / wall:.1f} per second, "
        f"{ticks / run.rate / wall:.1f}× real time",
        "",
        "present at",
        *(f"  {modality:<9}{share:7.1%} of ticks" for modality, share in run.statistics.presence.items()),
        *_missing(run),
        *_people(run.statistics.people),
        "",
        f"{'latency, ms':<16}{'p50':>8}{'p95':>9}{'p99':>9}",
    ]
    for stage, (p50, p95, p99) in run.statistics.latency().items():
        lines.append(f"  {stage:<14}{p50:8.2f}{p95:9.2f}{p99:9.2f}")
    if run.counts:  # a session as recorded has none
        lines += ["", "samples", *_counted(run.counts)]
    if repairs := [str(segment) for segment in run.source.segments if segment.reason]:
        more = [f"… and {len(repairs) - _REPAIRS} more"] * (len(repairs) > _REPAIRS)
        lines += ["", "time repaired", *(f"  {line}" for line in [*repairs[:_REPAIRS], *more])]
    if run.outputs.counts:
        lines += ["", "outputs", *_counted(run.outputs.counts)]
    return "\n".join(lines)


def dropped_by_reason(count: Counts) -> list[str]:
    """`3 too late` and so on."""
    return [f"{n} {reason.replace('_', ' ')}" for reason, n in count.dropped.copy().items() if n]


def _missing(run: "Run") -> Iterator[str]:
    lines = [
        f"  {modality:<9}{' ' * (len(modality) > 8)}{ns / SECOND:6.1f} s: {text}"
        for modality, absence in run.absences.items()
        for text, ns in absence.lasted.values()
    ]
    yield from ["", "missing for", *lines] if lines else []


def _people(people: Mapping[str, Any] | None) -> Iterator[str]:
    """Who was followed, where it was not the only face, or not good enough."""
    if people is None or not (people["several"] or people["problems"] or len(people["ticks"]) > 1):
        return
    yield from ["", "people"]
    followed = ", ".join(f"person {person} at {n} ticks" for person, n in people["ticks"].items())
    if followed:
        yield f"  in view: {followed}"
    if people["several"]:
        chosen = f"in {people['ambiguous']} of {people['choices']} choices of whom to follow"
        yield f"  more than one face in view at {people['several']:.1%} of ticks, {chosen}"
    for problem, n in people["problems"].items():
        yield f"  the face was {problem} at {n} ticks"


def _counted(counts: Mapping[str, Counts]) -> Iterator[str]:
    for name, count in counts.items():
        parts = [f"{count.used} used", *dropped_by_reason(count)]
        line = f"  {name:<9}{' ' * (len(name) > 8)}{count.captured} captured = {' + '.join(parts)}"
        also = [f"{n} {name}" for name, n in (("late", count.late), ("reordered", count.reordered)) if n]
        yield line + (f" ({', '.join(also)})" if also else "")
