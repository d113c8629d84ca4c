"""What a run reports, as JSON values: to the page, in a recorded session, at its end."""

from typing import TYPE_CHECKING, Any

from ..contracts.errors import one_line
from .streams.counts import conservation
from .streams.samples import SECOND
from .streams.wall_clock import STARTED_BY, iso

if TYPE_CHECKING:
    from .run import Run


def description(run: "Run") -> dict[str, Any]:
    """What the page shows first: the run, its bundle's data and limits, the controls that work."""
    bundle = run.bundle.metadata
    live = run.source.clock is not None
    return {
        "kind": "live" if run.source.devices else "replay",
        "name": run.source.name,
        "rate": run.rate,
        "bundle": {
            "name": bundle.name,
            "sha256": bundle.sha256,
            "trained_on": bundle.training_data.description,
            "not_for": bundle.training_data.limits,
        },
        "profile": profile(run),
        "modalities": [w.name for w in run.wanted],  # the bundle's
        "schemas": {w.name: w.schema for w in run.wanted},
        "sources": [w.name for w in run.wanted if w.offer is not None],  # modalities that have one
        "can": _controls(run) if live else [],  # methods; `pause` includes `resume`
        "people": run.source.people,  # with estimates of their own
        "recording": None if run.record is None else str(run.record),
        "media_kept": run.source.keeps_media,
        "duration": run.source.duration,  # s, or None
    }


def _controls(run: "Run") -> list[str]:
    calibrate = ["calibrate"] if run.source.people == 1 else []
    return ["pause", "mark", "reset", *calibrate, *(["follow"] if run.source.chooses else [])]


def status(run: "Run") -> dict[str, Any]:
    """What the page shows about once a second: devices, drops, latencies, outputs."""
    return {
        "devices": [
            {"name": name, "state": "lost" if device.lost else "open", "format": device.format}
            for name, device in run.source.devices.items()
        ],
        "missing": dict(run.missing),
        "drops": {name: counts["dropped"] for name, counts in conservation(run.counts).items()},
        "latency_ms": run.statistics.percentiles(recent=True),
        "paused": run.paused,
        "profile": None if run.profile is None else run.profile.name,
        "calibrating": run.calibrating,
        "outputs": conservation(run.outputs.counts),
    }


def summary(run: "Run") -> dict[str, Any]:
    """The statistics of the run: presence, latencies, counts."""
    media = None if run.recorder is None else run.recorder.media
    return {
        "started": None if run.source.began is None else iso(run.source.began),  # the wall-clock time of 0 s
        "ticks": run.statistics.ticks,
        "marks": [{"t": time / SECOND, "label": one_line(label)} for time, label in run.marks],
        "presence": {modality: round(x, 4) for modality, x in run.statistics.presence.items()},
        "missing": {
            modality: [{"reason": text, "s": round(ns / SECOND, 2)} for text, ns in absence.lasted.values()]
            for modality, absence in run.absences.items()
            if absence.lasted
        },
        "people": run.statistics.people,
        "latency_ms": run.statistics.percentiles(),
        "samples": conservation(run.counts),
        "outputs": conservation(run.outputs.counts),
        "restarts": {name: device.restarts for name, device in run.source.devices.items()},
        "overflows": {name: device.overflows for name, device in run.source.devices.items()},
        "taken": dict(run.source.taken),
        "segments": [
            {"t": s.at / SECOND, "source": s.begin / SECOND, "reason": s.reason, "gap": s.gap / SECOND}
            for s in run.source.segments
        ],
        "notes": list(run.source.notes),
        "problems": [
            *run.source.problems,
            *run.outputs.failures,
            *([] if run.broken is None else [str(run.broken)]),
        ],
    } | ({} if media is None else {"media": conservation(media.counts)})


def profile(run: "Run") -> dict[str, Any] | None:
    """Whose profile the estimates go through, and what it is made of; None without."""
    if (found := run.profile) is None:
        return None
    return {"name": found.name, "made": found.made, "seconds": found.seconds, "labelled": found.labelled}


def session(run: "Run") -> dict[str, Any]:
    """The description in `session.json`."""
    bundle = run.bundle.metadata
    return {
        "bundle": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
        "rate": run.rate,
        "people": run.source.people,
        "schemas": {w.name: w.schema for w in run.wanted},
        "dims": {w.name: w.dim for w in run.wanted},
        "profile": profile(run),
        "context": {name: values.tolist() for name, values in run.context.items()},
        "devices": {n: f"{device.source}: {device.format}" for n, device in run.source.devices.items()},
        "taken": dict(run.source.taken),
        "offsets": {w.name: w.offset / SECOND for w in run.wanted if w.offset},
        "clock": "nanoseconds since the first tick, monotonic",
    } | _started_by(run)


def _started_by(run: "Run") -> dict[str, str]:
    """Who knows when the session began; see `store.folder`."""
    if run.source.devices:
        return {STARTED_BY: "clock"}
    return {} if run.source.began is None else {STARTED_BY: "recording"}
