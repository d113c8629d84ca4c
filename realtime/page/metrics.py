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
    estimate, status = latest.estimate, latest.status or {}
    if estimate is not None:
        for name in ("mean", "low", "high"):
            text.family(f"engagement_{name}", "gauge", f"{name} of the newest engagement, 0 to 1")
            text.sample("", {}, getattr(estimate.engagement, name))
    text.family("ticks_total", "counter", "estimates so far")
    text.sample("", {}, latest.ticks)
    if latest.age is not None:
        text.family("estimate_age_seconds", "gauge", "since the newest estimate")
        text.sample("", {}, latest.age)
    if estimate is not None:
        text.family("present", "gauge", "1 if the modality was present at the newest tick")
        for modality, present in estimate.present.items():
            text.sample("", {"modality": modality}, present)
        text.family("value_age_seconds", "gauge", "of the modality's value at the newest tick")
        for modality, ms in estimate.age_ms.items():
            if ms is not None:
                text.sample("", {"modality": modality}, ms / 1000)
    text.family("latency_seconds", "summary", "of ticks, by stage")
    quantiles = status.get("latency_ms", {})
    for stage, n in latest.latency_count.items():
        for percentile, ms in quantiles.get(stage, {}).items():
            if percentile in _QUANTILES and ms is not None:
                text.sample("", {"stage": stage, "quantile": _QUANTILES[percentile]}, ms / 1000)
        text.sample("_sum", {"stage": stage}, latest.latency_sum[stage])
        text.sample("_count", {"stage": stage}, n)
    text.family("dropped_total", "counter", "samples that no tick used")
    for modality, reasons in status.get("drops", {}).items():
        for reason, n in reasons.items():
            text.sample("", {"modality": modality, "reason": reason}, n)
    outputs = status.get("outputs", {})
    text.family("output_used_total", "counter", "estimates and marks delivered")
    for address, counts in outputs.items():
        text.sample("", {"output": address}, counts["used"])
    text.family("output_dropped_total", "counter", "estimates and marks dropped")
    for address, counts in outputs.items():
        for reason, n in counts["dropped"].items():
            text.sample("", {"output": address, "reason": reason}, n)
    text.family("clients", "gauge", "connected now")
    for path, n in clients.connected.items():
        text.sample("", {"path": path}, n)
    text.family("clients_disconnected_total", "counter", "clients that the server disconnected")
    for reason, n in clients.disconnected.items():
        text.sample("", {"reason": reason}, n)
    return str(text)


class _Text:
    """Lines, family by family. A family's header is written with its first sample."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._name, self._header = "", ""

    def family(self, name: str, kind: str, help: str) -> None:
        self._name = f"enrapt_{name}"
        self._header = f"# HELP {self._name} {help}\n# TYPE {self._name} {kind}\n"

    def sample(self, suffix: str, labels: Mapping[str, str], value: Any) -> None:
        pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        braces = f"{{{pairs}}}" if pairs else ""
        self._lines.append(f"{self._header}{self._name}{suffix}{braces} {float(value)!r}\n")
        self._header = ""

    def __str__(self) -> str:
        return "".join(self._lines)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
