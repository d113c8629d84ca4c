"""What is said at the end of a run."""

from collections.abc import Iterator, Mapping

from ..realtime.statistics import Statistics
from ..realtime.streams.counts import Counts


def summary(
    statistics: Statistics,
    counts: Mapping[str, Counts],
    rate: int,
    wall: float,
    outputs: Mapping[str, Counts] | None = None,
) -> str:
    """The run in a few lines: ticks, presence, latencies, and where every sample and every estimate went.

    Args:
        rate: ticks per second of the recording.
        wall: seconds that the run took.
        outputs: by address.
    """
    ticks = statistics.ticks
    lines = [
        f"{ticks} ticks in {wall:.1f} s: {ticks / wall:.1f} per second, {ticks / rate / wall:.1f}× real time",
        "",
        "present at",
        *(f"  {modality:<9}{share:7.1%} of ticks" for modality, share in statistics.presence.items()),
        "",
        f"{'latency, ms':<16}{'p50':>8}{'p95':>9}{'p99':>9}",
    ]
    for stage, percentiles in statistics.latency().items():
        p50, p95, p99 = percentiles
        lines.append(f"  {stage:<14}{p50:8.2f}{p95:9.2f}{p99:9.2f}")
    lines += ["", "samples", *_went(counts)]
    if outputs:
        lines += ["", "outputs", *_went(outputs)]
    return "\n".join(lines)


def _went(counts: Mapping[str, Counts]) -> Iterator[str]:
    for name, count in counts.items():
        went = [
            f"{count.used} used",
            *(f"{n} {reason.replace('_', ' ')}" for reason, n in count.dropped.items() if n),
        ]
        line = f"  {name:<9}{' ' * (len(name) > 8)}{count.captured} captured = {' + '.join(went)}"
        also = [f"{n} {name}" for name, n in (("late", count.late), ("reordered", count.reordered)) if n]
        yield line + (f" ({', '.join(also)})" if also else "")
