"""What a run tells whoever watches it: what it is, what its bundle has and has not seen, and how it goes."""

from collections.abc import Mapping
from typing import Any

from ..bundle.bundle import Metadata
from .statistics import Statistics
from .streams.counts import Counts, conservation


def introduction(metadata: Metadata, kind: str, name: str, **more: Any) -> dict[str, Any]:
    """What a page is told first; JSON can say it.

    Args:
        kind: `live` or `replay`.
        name: of the recording, or `live`.
        more: `sources` (modalities that something is open for; all if not given), `can` (commands that are
            obeyed), `recording` (folder), `media_kept`, `duration` (s).
    """
    modalities = [m.name for m in metadata.inputs if m.role == "observed"]
    return {
        "kind": kind,
        "name": name,
        "rate": metadata.rate,
        "bundle": {
            "name": metadata.name,
            "sha256": metadata.sha256,
            "trained_on": metadata.training_data.description,
            "not_for": metadata.training_data.limits,
        },
        "modalities": modalities,
        "schemas": {m.name: m.schema for m in metadata.inputs if m.role == "observed" and m.schema},
        "sources": modalities,
        "can": [],
        "recording": None,
        "media_kept": False,
        "duration": None,
        **more,
    }


def status(
    statistics: Statistics, counts: Mapping[str, Counts], outputs: Mapping[str, Counts], **more: Any
) -> dict[str, Any]:
    """What a page is told about once a second; JSON can say it.

    Args:
        counts: of samples, by modality.
        outputs: of estimates, by address.
        more: `devices` (name, state, given), `paused`, `calibrated`.
    """
    return {
        "devices": [],
        "drops": {name: counts["dropped"] for name, counts in conservation(counts).items()},
        "latency_ms": statistics.percentiles(recent=True),
        "paused": False,
        "calibrated": None,
        "outputs": conservation(outputs),
        **more,
    }
