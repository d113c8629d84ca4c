"""Lab Streaming Layer: a stream of numbers and one of marks, for recorders such as LabRecorder.

Source: the meta-data follow github.com/sccn/xdf/wiki/Meta-Data.
"""

import hashlib
import platform
import time
from typing import Any, Final

from ...contracts.errors import UserError
from ..engine.estimate import Estimate, Latency
from ..streams.lsl import pylsl
from ..streams.samples import Observation
from .channels import channels, numbers
from .output import Opening

_NAME: Final = "enrapt"
_LEAVING: Final = 0.5  # s that inlets have for what is on its way


class LslOutput:
    """Two outlets, `NAME` (float32) and `NAME-marks` (string).

    They are there from the second estimate on: only two tell the rate that the description must name.

    Time stamps are the ticks' times on LSL's clock. Live, an estimate says how long ago its tick was; what
    passes from then to here only makes the tick seem later, so the smallest difference of the two clocks is
    the right one. A replay has no such time: its first tick is at the moment when it is told, and the others
    have their places after it, however fast they come.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._modalities: list[str] = []
        self._first: Estimate | None = None
        self._outlet: Any = None
        self._marks: Any = None
        self._offset: float | None = None  # s, LSL's clock minus the session's
        self._early: list[tuple[float, str]] = []  # marks before there are outlets

    def write(self, estimate: Estimate, observation: Observation) -> None:
        self._compare_clocks(estimate, pylsl.local_clock())
        if self._first is None:
            self._first = estimate
            return
        if self._outlet is None:
            self._begin(self._first, estimate)
        self._push(estimate)

    def mark(self, t: float, label: str) -> None:
        if self._marks is None or self._offset is None:
            self._early.append((t, label))
        else:
            self._marks.push_sample([label.encode(errors="replace").decode()], t + self._offset)

    def close(self, whole: bool) -> None:
        if self._outlet is not None and (self._outlet.have_consumers() or self._marks.have_consumers()):
            time.sleep(_LEAVING)
        self._outlet = self._marks = None

    def _begin(self, first: Estimate, second: Estimate) -> None:
        self._modalities = list(first.present)
        rate = round((second.tick - first.tick) / (second.t - first.t))
        self._outlet, self._marks = _outlets(self._name, self._modalities, rate)
        self._push(first)
        for t, label in self._early:
            self.mark(t, label)

    def _push(self, estimate: Estimate) -> None:
        assert self._offset is not None
        self._outlet.push_sample(numbers(estimate, self._modalities), estimate.t + self._offset)

    def _compare_clocks(self, estimate: Estimate, now: float) -> None:
        latency = estimate.latency_ms
        if isinstance(latency, Latency) and latency.tick is not None:
            offset = now - latency.tick / 1000 - estimate.t
            self._offset = offset if self._offset is None else min(self._offset, offset)
        elif self._offset is None:
            self._offset = now - estimate.t


def _outlets(name: str, modalities: list[str], rate: int) -> tuple[Any, Any]:
    row = channels(modalities)
    labels = [channel.label for channel in row]
    # The same of every run that tells the same numbers under this name on this machine: by it an inlet finds
    # a stream again.
    digest = hashlib.sha256(" ".join(labels).encode()).hexdigest()[:12]
    source = f"enrapt-{platform.node()}-{name}-{digest}"
    numbers_info = pylsl.StreamInfo(name, "Engagement", len(row), rate, pylsl.cf_float32, source)
    numbers_info.set_channel_labels(labels)
    numbers_info.set_channel_types([channel.label.rpartition("_")[2].capitalize() for channel in row])
    numbers_info.set_channel_units([channel.unit for channel in row])
    marks_info = pylsl.StreamInfo(
        f"{name}-marks", "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, f"{source}-marks"
    )
    for info in numbers_info, marks_info:
        acquisition = info.desc().append_child("acquisition")
        acquisition.append_child_value("manufacturer", "enrapt")
        acquisition.append_child_value("model", name)
        synchronization = info.desc().append_child("synchronization")
        synchronization.append_child_value("offset_mean", "0")  # stamps are originating times already
        synchronization.append_child_value("can_drop_samples", "true")
    return pylsl.StreamOutlet(numbers_info), pylsl.StreamOutlet(marks_info)


def lsl_opening(address: str, name: str) -> Opening:
    """The output of `lsl:` or `lsl:NAME`."""
    if name.startswith("//") or not name.isprintable():
        raise UserError(f"{address!r}: give lsl: or lsl:NAME; whoever wants the stream finds it by its name")
    return Opening(address, lambda: LslOutput(name or _NAME), again=False)
