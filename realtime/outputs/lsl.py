"""Lab Streaming Layer: a stream of estimates and one of marks, for recorders such as LabRecorder.

Source: the meta-data follow github.com/sccn/xdf/wiki/Meta-Data.
"""

import hashlib
import platform
import time
from datetime import datetime
from typing import Any, Final

import msgspec

from ...contracts.addresses import without_password
from ...contracts.errors import UserError
from ..engine.columns import Column, numbers, signals
from ..engine.estimate import Estimate, Latency
from ..streams import wall_clock
from ..streams.lsl import pylsl
from ..streams.samples import Observation
from .output import Destination

_LEAVING: Final = 0.5  # s for inlets to receive the last samples


class LslOutput:
    """Two outlets, `NAME` (float32) and `NAME-marks` (string).

    They exist from the second estimate on, because their description needs the rate, which takes two ticks.

    Time stamps are the ticks' times on LSL's clock. Live, `latency_ms.tick` is the time from the tick to the
    estimate; the delay from there to this output makes the tick appear later, so the smallest difference of
    the two clocks is the right one. A replay has no such time: its first tick is stamped with the time of its
    delivery, and the others at their distances from it, however fast they come.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._columns: list[Column] = []
        self._first: Estimate | None = None
        self._outlet: Any = None
        self._marks: Any = None
        self._offset: float | None = None  # s, LSL's clock minus the session's
        self._early: list[tuple[float, str]] = []  # marks before there are outlets

    def write(self, estimate: Estimate, observation: Observation) -> None:
        self._compare_clocks(estimate, pylsl.local_clock())
        if self._first is None or (self._outlet is None and estimate.tick == self._first.tick):
            self._first = self._first or estimate  # of several people, one has to do until then
            return
        if self._outlet is None:
            self._begin(self._first, estimate)
        self._push(estimate)

    def mark(self, t: float, label: str) -> None:
        if self._marks is None or self._offset is None:
            self._early.append((t, label))
        else:
            self._marks.push_sample([label.encode(errors="replace").decode()], t + self._offset)

    def close(self, complete: bool) -> None:
        if self._outlet is not None and (self._outlet.have_consumers() or self._marks.have_consumers()):
            time.sleep(_LEAVING)
        self._outlet = self._marks = None

    def _begin(self, first: Estimate, second: Estimate) -> None:
        self._columns = signals(first.present)
        rate = round((second.tick - first.tick) / (second.t - first.t))
        began = None if first.wall_clock is msgspec.UNSET else wall_clock.at(first.wall_clock, -first.t)
        self._outlet, self._marks = _outlets(self._name, self._columns, rate, began)
        self._push(first)
        for t, label in self._early:
            self.mark(t, label)

    def _push(self, estimate: Estimate) -> None:
        assert self._offset is not None
        self._outlet.push_sample(numbers(self._columns, estimate), estimate.t + self._offset)

    def _compare_clocks(self, estimate: Estimate, now: float) -> None:
        latency = estimate.latency_ms
        if isinstance(latency, Latency) and latency.tick is not None:
            offset = now - latency.tick / 1000 - estimate.t
            self._offset = offset if self._offset is None else min(self._offset, offset)
        elif self._offset is None:
            self._offset = now - estimate.t


def _outlets(name: str, columns: list[Column], rate: int, began: datetime | None) -> tuple[Any, Any]:
    labels = [column.name for column in columns]
    # The same in every run with these channels, this name and this machine: inlets recover a stream by it.
    digest = hashlib.sha256(" ".join(labels).encode()).hexdigest()[:12]
    source = f"enrapt-{platform.node()}-{name}-{digest}"
    numbers_info = pylsl.StreamInfo(name, "Engagement", len(columns), rate, pylsl.cf_float32, source)
    numbers_info.set_channel_labels(labels)
    numbers_info.set_channel_types([_quantity(column).capitalize() for column in columns])
    numbers_info.set_channel_units([column.unit for column in columns])
    irregular, string = pylsl.IRREGULAR_RATE, pylsl.cf_string
    marks_info = pylsl.StreamInfo(f"{name}-marks", "Markers", 1, irregular, string, f"{source}-marks")
    for info in numbers_info, marks_info:
        acquisition = info.desc().append_child("acquisition")
        acquisition.append_child_value("manufacturer", "enrapt")
        acquisition.append_child_value("model", name)
        if began is not None:
            info.desc().append_child("session").append_child_value("started", wall_clock.iso(began))
        synchronization = info.desc().append_child("synchronization")
        synchronization.append_child_value("offset_mean", "0")  # time stamps are originating times
        synchronization.append_child_value("can_drop_samples", "true")
    return pylsl.StreamOutlet(numbers_info), pylsl.StreamOutlet(marks_info)


def _quantity(column: Column) -> str:
    """`age` of `face_age_ms`."""
    return column.name.removesuffix(f"_{column.unit}").rpartition("_")[2]


def lsl_destination(address: str, name: str) -> Destination:
    """The output of `lsl:` or `lsl:NAME`."""
    if name.startswith("//") or not name.isprintable():
        raise UserError(
            f"{without_password(address)!r}: give lsl: or lsl:NAME; inlets find the stream by its name"
        )
    return Destination(address, lambda: LslOutput(name or "enrapt"), reopen=False)
