"""Metrics for Prometheus, in its text format 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Mapping
from typing import Any, Final

from .clients import Clients
from .latest import Latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_QUANTILES: Final = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


def prometheus(latest: Latest, clients: Clients) -> str:
    """All metrics; a family without samples is left out."""
    text = _Text()
    status = latest.status or {}
    newest = [
        ({} if person is None else {"person": str(person)}, past.estimate)
        for person, past in latest.pasts.items()
    ]
    for name in ("mean", "low", "high"):
        text.family(f"engagement_{name}", "gauge", f"{name} of the newest engagement, 0 to 1")
        for person, estimate in newest:
            text.sample(getattr(estimate.engagement, name), **person)
    text.family("ticks_total", "counter", "ticks so far")
    text.sample(latest.ticks)
    text.family("estimate_age_seconds", "gauge", "since the newest estimate")
    text.sample(latest.age)
    text.family("present", "gauge", "1 if the modality was present at the newest tick")
    for person, estimate in newest:
        text.samples("modality", estimate.present, **person)
    text.family("value_age_seconds", "gauge", "of the modality's value at the newest tick")
    for person, estimate in newest:
        for modality, ms in estimate.age_ms.items():
            text.sample(None if ms is None else ms / 1000, **person, modality=modality)
    text.family("latency_seconds", "summary", "of ticks, by stage")
    for stage, n in latest.latency_count.items():
        for percentile, ms in status.get("latency_ms", {}).get(stage, {}).items():
            seconds = None if ms is None else ms / 1000
            text.sample(seconds, stage=stage, quantile=_QUANTILES[percentile])
        text.sample(latest.latency_sum[stage], "_sum", stage=stage)
        text.sample(n, "_count", stage=stage)
    text.family("dropped_total", "counter", "samples that no tick used")
    for modality, reasons in status.get("drops", {}).items():
        text.samples("reason", reasons, modality=modality)
    outputs = status.get("outputs", {})
    text.family("output_used_total", "counter", "estimates and marks delivered")
    text.samples("output", {address: counts["used"] for address, counts in outputs.items()})
    text.family("output_dropped_total", "counter", "estimates and marks dropped")
    for address, counts in outputs.items():
        text.samples("reason", counts["dropped"], output=address)
    text.family("clients", "gauge", "connected now")
    text.samples("path", clients.connected)
    text.family("clients_disconnected_total", "counter", "clients that the server disconnected")
    text.samples("reason", clients.disconnected)
    return "".join(text.lines)


class _Text:
    """Lines, family by family. A family's header is written with its first sample."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._name, self._header = "", ""

    def family(self, name: str, kind: str, help: str) -> None:
        self._name = f"enrapt_{name}"
        self._header = f"# HELP {self._name} {help}\n# TYPE {self._name} {kind}\n"

    def sample(self, value: Any, suffix: str = "", /, **labels: str) -> None:
        """One value; None is left out."""
        if value is not None:
            pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            braces = f"{{{pairs}}}" if pairs else ""
            self.lines.append(f"{self._header}{self._name}{suffix}{braces} {float(value)!r}\n")
            self._header = ""

    def samples(self, label: str, values: Mapping[str, Any], /, **labels: str) -> None:
        """Values by that label, which all have the other labels."""
        for text, value in values.items():
            self.sample(value, **labels, **{label: text})


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
