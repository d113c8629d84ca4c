"""A stream of Lab Streaming Layer in place of a camera or a microphone: it may vanish and come back.

It brings features in the order of their schema, or sound (`stream_kind`). It is found by its name, and found
again by it: another stream of that name may take its place.
"""

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ..streams.counts import Counts
from ..streams.lsl import pylsl
from ..streams.samples import SECOND, Sample, Sound
from .process import BACK_OFF, DeviceState
from .sound import DeviceSound
from .stream_kind import SCHEMA, TAKEN, Kind, kind_of, mono, shape, vector

FINDING: Final = 4  # s for a stream of that name to answer, and
LISTING: Final = 1.0  # s for the others, to name them
OPENING: Final = 5.0  # s to connect and to compare the clocks
SILENT: Final = 2.0  # s without a sample: it may have moved, so it is looked for again; doubled up to
LONG_SILENT: Final = 30.0
WAITING: Final = 1000  # samples that wait to be taken
AHEAD: Final = SECOND // 10  # ns; clocks are compared to a millisecond, so a time so late is wrong
BEHIND: Final = 10 * SECOND  # ns
GAP: Final = SECOND // 5  # ns between the stamps of two pieces of sound, beyond its duration: some is lost

_PULL: Final = 0.05  # s
_BUFFER: Final = 10  # s that liblsl keeps while nobody pulls


class LslSource:
    """A stream, as a context manager; its thread has ended once it is left.

    Args:
        address: `lsl:NAME`.
        modality: `face` or `audio`.
        clock: the session's clock, ns.
        keep: called with all sound, taken or not, from a thread of the source's.
        trouble: called with a line for people, from any thread.

    Attributes:
        counts: samples, of sound the pieces in which it came; captured = used (taken) + dropped by reason +
            waiting, at any time. Dropped: `wrong_time` (stamped later than now, or more than 10 s ago),
            `backward` (stamped no later than the one before), `full` (nobody took them in time), `after_end`
            (not taken before the end); and of sound those of `DeviceSound`.
        kind: whether `take` gives a `Sample` or a `Sound`.
        overflows: how often sound was lost on the way to here.
        given: what the stream gives, for people: `face/1 at 30 Hz from HOST`.
        state: whether something comes.
        restarts: how often it was opened anew.

    Raises:
        UserError: at construction, the address means nothing; on entering, there is no such stream, or it
            does not fit.
    """

    def __init__(
        self,
        address: str,
        modality: str,
        clock: Callable[[], int],
        keep: Callable[[Sound], None] | None = None,
        trouble: Callable[[str], None] = lambda line: None,
    ) -> None:
        scheme, _, self._name = address.partition(":")
        if scheme != "lsl" or not self._name or ("'" in self._name and '"' in self._name):
            raise UserError(f"{modality} {address}: give lsl:NAME, the name of a stream")
        self._address, self._modality, self._clock, self._trouble = address, modality, clock, trouble
        self._max_age = round(SCHEMA[modality].max_age * SECOND)
        self._sound = DeviceSound(keep)
        self.kind: Kind = "features"
        self.counts = Counts()
        self.overflows = 0
        self.given = ""
        self.state = DeviceState("lost", 0)
        self.restarts = 0
        self._changed = threading.Condition()  # guards what follows and the counts
        self._waiting: deque[Sample] = deque()
        self._sequence = 0
        self._last: int | None = None  # ns; originating time of the last sample
        self._arrived = 0  # ns; when it came
        self._told = False  # that times are wrong
        self._rate = 0
        self._index = 0  # of the sample of sound that comes next
        self._expected: int | None = None  # ns; its time
        self._shift = 0  # ns; from LSL's clock to the session's
        self._tried = threading.Event()  # something has come, or nothing will soon
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"enrapt lsl {modality}", daemon=True)

    def __enter__(self) -> Self:
        self._shift = _shift(self._clock)
        self.state = DeviceState("lost", self._clock())
        self._info = self._find_first()
        self._thread.start()
        try:
            self._tried.wait(OPENING)
        except BaseException:  # Ctrl-C
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(OPENING)
        self._sound.end()
        with self._changed:
            self.counts.dropped["after_end"] += self.counts.waiting
            self._waiting.clear()
            self._changed.notify_all()

    def take(self, timeout: float) -> Any:
        """The next `Sample` or `Sound`, in order; None if there is none within `timeout` seconds, or after
        the end."""
        if self.kind == "sound":
            return self._sound.take(timeout)
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped.is_set(), timeout)
            if not self._waiting or self._stopped.is_set():
                return None
            self.counts.used += 1
            return self._waiting.popleft()

    def _find_first(self) -> Any:
        infos: list[Any] = []
        for _ in range(FINDING):  # in pieces: Ctrl-C is not noticed within one
            if infos := _resolved(self._name, 1.0):
                break
        else:
            there = sorted({f"{i.name()} ({_shape(i)})" for i in pylsl.resolve_streams(LISTING)})
            raise UserError(
                f"{self._address}: there is no such stream; there is {', '.join(there) or 'none at all'}"
            )
        for info in infos:
            if (kind := self._kind_of(info)) is not None:
                self.kind = kind
                if kind == "sound":
                    self.counts = self._sound.counts
                self._describe(info)
                return info
        raise UserError(
            f"{self._address}: has {_shape(infos[0])}; as {self._modality} give {TAKEN[self._modality]}"
        )

    def _kind_of(self, info: Any) -> Kind | None:
        strings = info.channel_format() == pylsl.cf_string
        return kind_of(self._modality, info.channel_count(), info.nominal_srate(), strings)

    def _describe(self, info: Any) -> None:
        rate = info.nominal_srate()
        if self.kind == "sound":
            what = f"sound at {rate:g} Hz"
        else:
            what = SCHEMA[self._modality].name + (f" at {rate:g} Hz" if rate else "")
        self.given = f"{what} from {info.hostname()}"

    def _run(self) -> None:
        pause, longest = BACK_OFF
        silent = SILENT
        info, patient = self._info, False
        while not self._stopped.is_set():
            if info is not None:
                arrived = self._arrived
                patient = self._receive(info, silent)
                self._tried.set()
                if self._arrived > arrived:
                    pause, silent = BACK_OFF[0], SILENT
                else:
                    silent = min(2 * silent, LONG_SILENT)
            if not patient:
                self._stopped.wait(pause)
                pause = min(2 * pause, longest)
            if self._stopped.is_set():
                return
            patient = False
            info = next((i for i in _resolved(self._name, 1.0) if self._kind_of(i) == self.kind), None)
            self.restarts += info is not None

    def _receive(self, info: Any, silent: float) -> bool:
        """What one inlet brings, until its stream ends, or is silent for so many seconds: then True."""
        # Without liblsl's own recovery: it waits for the same source id for ever, and tells nobody.
        inlet = pylsl.StreamInlet(info, max_buflen=_BUFFER, recover=False, as_numpy=True)
        self._expected = None
        opened = self._clock()
        try:
            inlet.open_stream(OPENING)
            inlet.time_correction(OPENING)
            opened = self._clock()
            self._describe(info)
            self._rate = round(info.nominal_srate())
            # Some push sound sample by sample.
            least = max(self._rate // 100, 1) if self.kind == "sound" else 1
            while not self._stopped.is_set():
                values, stamps = inlet.pull_chunk(_PULL, 10 * least, min_samples=least)
                now = self._clock()
                if len(stamps):
                    # The first one took the time; from then on liblsl follows it in the background.
                    correction = inlet.time_correction(OPENING)
                    times = np.rint((stamps + correction) * 1e9).astype(np.int64) + self._shift
                    self._take(values, times, now)
                    self._tried.set()
                    continue
                quiet = now - max(self._arrived, opened)
                if quiet > 2 * self._max_age:
                    self._lose()
                    self._tried.set()
                if quiet > silent * SECOND:
                    return True
        except RuntimeError:  # pylsl's: lost, or it does not answer
            pass
        finally:
            inlet.close_stream()
            self._lose()
        return False

    def _lose(self) -> None:
        if self.state.name == "open":
            assert self._last is not None
            self.state = DeviceState("lost", self._last)

    def _take(self, values: NDArray[Any], times: NDArray[np.int64], now: int) -> None:
        if (times > now + AHEAD).any() or (times < now - BEHIND).any():
            with self._changed:
                self.counts.drop("wrong_time", 1 if self.kind == "sound" else len(times))
            if not self._told:
                self._told = True
                off = (int(times[-1]) - now) / SECOND
                self._trouble(
                    f"{self._address}: its samples are stamped {off:+.0f} s from now: let it push them "
                    "without a stamp, or with LSL's local_clock()"
                )
            return
        if self.kind == "sound":
            self._take_sound(values, int(times[0]))
        else:
            self._take_features(values, times)
        self._arrived = now
        if self.state.name == "lost":
            self.state = DeviceState("open", int(times[0]))

    def _take_sound(self, values: NDArray[Any], at: int) -> None:
        if self._expected is None or abs(at - self._expected) > GAP:
            self.overflows += self._expected is not None
            self._sound.begin_anew(self._rate)
            self._expected = at
        self._sound.push(self._index, at, mono(values))
        self._index += len(values)
        # Its stamps as they come, not summed up: their drift is no gap.
        self._last = self._expected = at + len(values) * SECOND // self._rate

    def _take_features(self, values: NDArray[Any], times: NDArray[np.int64]) -> None:
        with self._changed:
            for at, row in zip(times.tolist(), values, strict=True):
                self.counts.captured += 1
                if self._last is not None and at <= self._last:
                    self.counts.dropped["backward"] += 1
                    continue
                self._last = at
                self._waiting.append(Sample(self._modality, at, vector(row), self._sequence))
                self._sequence += 1
            while len(self._waiting) > WAITING:
                self._waiting.popleft()
                self.counts.dropped["full"] += 1
            self._changed.notify_all()


def _resolved(name: str, seconds: float) -> list[Any]:
    quote = '"' if "'" in name else "'"
    found: list[Any] = pylsl.resolve_bypred(f"name={quote}{name}{quote}", 1, seconds)
    return found


def _shape(info: Any) -> str:
    return shape(info.channel_count(), info.nominal_srate(), info.channel_format() == pylsl.cf_string)


def _shift(clock: Callable[[], int]) -> int:
    """ns from LSL's clock to the session's: of some readings the one with the least delay."""
    readings = []
    for _ in range(20):
        before, lsl, after = clock(), round(pylsl.local_clock() * 1e9), clock()
        readings.append((after - before, (before + after) // 2 - lsl))
    return int(min(readings)[1])
