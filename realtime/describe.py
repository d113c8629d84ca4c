"""What a run says of itself: to the page, in a recorded session, at its end. All of it JSON can hold."""

from typing import TYPE_CHECKING, Any

from .streams.counts import conservation

if TYPE_CHECKING:
    from .run import Run


def description(run: "Run") -> dict[str, Any]:
    """What the page shows first: what runs, what its bundle has and has not seen, what can be asked of it."""
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
        "modalities": [w.name for w in run.wanted],
        "schemas": {w.name: w.schema for w in run.wanted},
        "sources": [w.name for w in run.wanted if w.offer is not None],
        "can": ["pause", "mark", "reset", "calibrate"] if live else [],
        "recording": None if run.record is None else str(run.record),
        "media_kept": run.source.keeps_media,
        "duration": run.source.duration,
    }


def status(run: "Run") -> dict[str, Any]:
    """What the page shows about once a second: how it goes."""
    return {
        "devices": [
            {"name": name, "state": device.state.name, "format": device.format}
            for name, device in run.source.devices.items()
        ],
        "drops": {name: counts["dropped"] for name, counts in conservation(run.counts).items()},
        "latency_ms": run.statistics.percentiles(recent=True),
        "paused": run.paused,
        "calibrated": run.calibrated,
        "outputs": conservation(run.output_counts),
    }


def summary(run: "Run") -> dict[str, Any]:
    """What the run was like."""
    return {
        "ticks": run.statistics.ticks,
        "presence": {modality: round(x, 4) for modality, x in run.statistics.presence.items()},
        "latency_ms": run.statistics.percentiles(),
        "samples": conservation(run.counts),
        "outputs": conservation(run.output_counts),
        "restarts": {name: device.restarts for name, device in run.source.devices.items()},
        "overflows": {name: device.overflows for name, device in run.source.devices.items()},
    }


def session(run: "Run") -> dict[str, Any]:
    """What `session.json` says besides the summary."""
    bundle = run.bundle.metadata
    return {
        "bundle": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
        "rate": run.rate,
        "schemas": {w.name: w.schema for w in run.wanted},
        "dims": {w.name: w.dim for w in run.wanted},
        "context": {name: values.tolist() for name, values in run.context.items()},
        "devices": {n: f"{device.source}: {device.format}" for n, device in run.source.devices.items()},
        "clock": "nanoseconds since the first tick, monotonic",
    }
