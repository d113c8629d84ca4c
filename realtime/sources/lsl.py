"""A stream of Lab Streaming Layer as a device, for hours: it may vanish and come back."""

import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.addresses import without_password
from ...contracts.errors import UserError
from ..features.downmix import Downmix
from ..features.resampling import RATE
from ..streams.cadence import Cadence
from ..streams.counts import Counts
from ..streams.lsl import pylsl
from ..streams.samples import SECOND
from .device import Device
from .lsl_times import StreamTimes
from .offer import Offer
from .process import BACK_OFF
from .sound import SILENCE, SoundDelivery
from .stream_kind import Kind, Shape, accepted, full_scale, kind_of, vector

FINDING: Final = 4  # s for a stream of that name to answer, and
LISTING: Final = 1.0  # s for the others, to name them
OPENING: Final = 5.0  # s to connect and to compare the clocks
SILENT: Final = 2.0  # s without a sample until it is resolved again, for it may have moved; doubled up to
LONG_SILENT: Final = 30.0
GAP: Final = SECOND // 5  # ns between the stamps of two pieces of sound, beyond its duration: some is lost

_PULL: Final = 0.05  # s
_BUFFER: Final = 10  # s that liblsl buffers


class LslStream(Device):
    """A stream found by its name, and found again by it: another stream of that name may take its place.

    Its channels and rate say what it is (`stream_kind.kind_of`); features are in the order of the schema. A
    sample's stamp is its originating time.

    Dropped samples are counted by reason: `wrong_time` (stamped later than now, or more than 10 s ago),
    `backward` (stamped no later than the one before), and the inlet's reasons. A source that starts its clock
    again loses one sample, see `StreamTimes`.

    Args:
        address: `lsl:NAME`.
        modality: the bundle's name for it.

    Raises:
        UserError: at construction, the address is not one of LSL.
    """

    def __init__(self, address: str, modality: str) -> None:
        super().__init__()
        scheme, _, self._name = address.partition(":")
        if scheme != "lsl" or not self._name or ("'" in self._name and '"' in self._name):
            raise UserError(f"{modality} {without_password(address)}: give lsl:NAME, the name of a stream")
        self.name = modality
        self.offer = Offer(modality, None, required=True)
        self.source = address
        self.kind: Kind = "features"
        self._sound: SoundDelivery | None = None
        self._cadence = Cadence()
        self._arrived = 0  # ns; when the newest data came
        self._warned = False  # that stamps are wrong
        self._ahead = 0  # ns; of the last wrong stamp, from now
        self._stepped_back = False  # likewise: that a clock stepped back
        self._rate = 0
        self._downmix = Downmix()
        self._index = 0  # of the next sample of sound
        self._expected: int | None = None  # ns; its time
        self._shift = 0  # ns; from LSL's clock to the session's
        self._tried = threading.Event()  # data came, or none will soon
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"enrapt lsl {modality}", daemon=True)

    def _open(self) -> None:
        self._shift = shift_of(self._inlet.clock)
        self._times = StreamTimes(self._inlet.plausible)
        self._info = self._find_first()
        if self.kind == "sound":
            self.material = "sound"
            self._sound = SoundDelivery(self._inlet, self.keep)
        self._thread.start()
        self._tried.wait(OPENING)

    def close(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(OPENING)

    def why_missing(self, kind: str, recent: Counts, span: int) -> str:
        if kind == "nothing":
            return f"{self.source} sends nothing; start it again"
        if kind == "empty" and self._sound is not None:
            return SILENCE
        if kind == "wrong_time":
            return self.why_wrong_time(self._ahead)
        if kind == "backward":
            return "its stamps do not increase; push samples in order, each with a time of its own"
        return super().why_missing(kind, recent, span)

    def _find_first(self) -> Any:
        """Resolve the stream and set `kind`; the error lists the streams there are."""
        for _ in range(FINDING):
            if infos := resolved(self._name, 1.0):
                break
        else:
            there = sorted({f"{i.name()} ({_shape(i)})" for i in pylsl.resolve_streams(LISTING)})
            raise UserError(f"{self.source}: no such stream; there is {', '.join(there) or 'none at all'}")
        for info in infos:
            if (kind := self._kind_of(info)) is not None:
                self.kind = kind
                self._describe(info)
                return info
        needed = accepted(self._inlet.dim, self._inlet.schema)
        raise UserError(f"{self.source}: has {_shape(infos[0])}; {self.name} needs {needed}")

    def _kind_of(self, info: Any) -> Kind | None:
        return kind_of(_shape(info), self._inlet.dim, self._inlet.schema)

    def _describe(self, info: Any) -> None:
        rate = info.nominal_srate()
        what = "sound" if self.kind == "sound" else self._inlet.schema or f"{self._inlet.dim} numbers"
        self._format = f"{what}{f' at {rate:g} Hz' if rate else ''} from {info.hostname()}"

    def _run(self) -> None:
        try:
            self._follow()
        except BaseException as error:
            self._inlet.fail(error)
        finally:
            self._tried.set()

    def _follow(self) -> None:
        """Receive from the stream, and look for it again whenever it ends or is silent."""
        pause, longest = BACK_OFF
        shortest_silence = silence = max(SILENT, self._inlet.lost_after / SECOND)
        info = self._info
        while True:
            arrived, silent = self._arrived, info is not None and self._receive(info, silence)
            self._tried.set()
            if self._arrived > arrived:
                pause, silence = BACK_OFF[0], shortest_silence
            elif info is not None:
                silence = min(2 * silence, LONG_SILENT)
            if not silent:
                self._stopped.wait(pause)
                pause = min(2 * pause, longest)
            if self._stopped.is_set():
                return
            info = next((i for i in resolved(self._name, 1.0) if self._kind_of(i) == self.kind), None)
            self.restarts += info is not None

    def _receive(self, info: Any, silence: float) -> bool:
        """Deliver from one inlet until its stream ends; True if it was silent for `silence` s instead."""
        # Without liblsl's own recovery: it waits for the same source id for ever, without notice.
        stream = pylsl.StreamInlet(info, max_buflen=_BUFFER, recover=False, as_numpy=True)
        self._times.reopen()
        self._expected = None
        self._downmix = Downmix()  # its channels may be others
        clock = self._inlet.clock
        try:
            stream.open_stream(OPENING)
            stream.time_correction(OPENING)
            opened = clock()
            self._describe(info)
            self._rate = round(info.nominal_srate())
            least = max(self._rate // 100, 1) if self.kind == "sound" else 1  # some push it sample by sample
            while not self._stopped.is_set():
                values, stamps = stream.pull_chunk(_PULL, 10 * least, min_samples=least)
                now = clock()
                if len(stamps):
                    # The first one took the time; from then on liblsl follows it in the background.
                    correction = stream.time_correction(OPENING)
                    times = np.rint((stamps + correction) * 1e9).astype(np.int64) + self._shift
                    self._deliver(values, times, now)
                    self._tried.set()
                    continue
                quiet = now - max(self._arrived, opened)
                if quiet > self._inlet.lost_after:
                    self._lost = True
                    self._tried.set()
                if quiet > silence * SECOND:
                    return True
        except RuntimeError:  # pylsl's: lost, or it does not answer
            pass
        finally:
            stream.close_stream()
            self._lost = True
        return False

    def _deliver(self, values: NDArray[Any], stamps: NDArray[np.int64], now: int) -> None:
        # Sound that comes together has one time: that of its last sample.
        shift, given = self._times.shift, stamps[-1:] if self._sound is not None else stamps
        placed = self._times.place(given.tolist(), now)
        if self._times.shift > shift and not self._stepped_back:
            self._stepped_back = True
            back = (self._times.shift - shift) / SECOND
            self._inlet.warn(f"{self.source}: its clock stepped back by {back:.1f} s; it goes on from there")
        if "wrong_time" in placed:
            self._ahead = int(stamps[-1]) - now
            if not self._warned:
                self._warned = True
                off, remedy = self._ahead / SECOND, "push them without a stamp, or with LSL's local_clock()"
                self._inlet.warn(f"{self.source}: its samples are stamped {off:+.0f} s from now; {remedy}")
        if placed.count("wrong_time") < len(placed):
            self._arrived = now
            self._lost = False
        if self._sound is not None:
            self._deliver_sound(self._sound, values, placed[0], int(stamps[-1] - stamps[0]))
        else:
            self._deliver_features(values, placed)

    def _deliver_sound(
        self, sound: SoundDelivery, values: NDArray[Any], last: int | str, length: int
    ) -> None:
        if isinstance(last, str):
            sound.drop(last, len(values) * RATE // self._rate)
            self._expected = None
            return
        at = last - length
        if self._expected is None or abs(at - self._expected) > GAP:
            self.overflows += self._expected is not None
            sound.restart(self._rate)
            self._expected = at
        sound.push(self._index, at, self._downmix.push(full_scale(values), self._rate))
        self._index += len(values)
        # Its stamps as they come, not summed up: their drift is not a gap.
        self._expected = at + len(values) * SECOND // self._rate

    def _deliver_features(self, values: NDArray[Any], placed: list[int | str]) -> None:
        inlet = self._inlet
        for at, row in zip(placed, values, strict=True):
            if isinstance(at, str):
                inlet.drop(at)
            elif (unwanted := inlet.unwanted) is not None:
                inlet.drop(unwanted)
            else:
                self._cadence.add(at)
                inlet.sample(vector(row), at, at + self._cadence.quiet)


def resolved(name: str, seconds: float) -> list[Any]:
    """Descriptions of the streams of that name that answer within so many seconds."""
    quote = '"' if "'" in name else "'"
    found: list[Any] = pylsl.resolve_bypred(f"name={quote}{name}{quote}", 1, seconds)
    return found


def _shape(info: Any) -> Shape:
    return Shape(info.channel_count(), info.nominal_srate(), info.channel_format() == pylsl.cf_string)


def shift_of(clock: Callable[[], int]) -> int:
    """ns from LSL's clock to the session's: of some readings the one with the least delay."""
    readings = []
    for _ in range(20):
        before, lsl, after = clock(), round(pylsl.local_clock() * 1e9), clock()
        readings.append((after - before, (before + after) // 2 - lsl))
    return int(min(readings)[1])
