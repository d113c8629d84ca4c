"""The packets of a recording, with their times on one axis, from a start on."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeAlias

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet
from av.video.stream import VideoStream

from ...contracts.errors import UserError
from ..streams.axis import Axis
from ..streams.samples import SECOND
from .container import next_part, open_container, to_ns
from .decoded import WHOLE
from .limits import Limits

PREROLL: Final = SECOND  # ns of sound before the start, in which codec and filter settle
_HELD: Final = 64 * 2**20  # bytes of packets kept before the start; then pictures are decoded from there
_ERRORS: Final = 100  # in a row in reading; then nothing more is to be had

AnyPacket: TypeAlias = "Packet[Any]"


def shift_of(of: "AnyPacket | Frame") -> int:
    """ns to add to its own time; the same for a packet and what is decoded from it."""
    assert isinstance(of.opaque, tuple)
    shift: int = of.opaque[0]
    return shift


class Packets:
    """Packets, those of one stream in their order; `shift_of` gives the ns to add to a packet's own time.

    What lies before the start is not decoded but for the group of pictures in which the start lies. It is not
    read either, if the file has an index by which times only go forward: else steps would be missed, and the
    axis would not be that of the whole file.

    Args:
        offsets: of the streams that are read: ns to add to their times.
        origin: ns on the file's own axis; time 0.
        start: ns.
        max_gap: ns; see `Axis`.
        limits: pictures of more pixels are damage.

    Attributes:
        container: the file; of several that were joined the first.
        streams: of it, those that are read.
        axis: how the file's times became one axis.
        reached: the file's own time, ns, up to which there were packets, by stream index.
        late_track: whether there was another track, which began too late to be known.
        unreadable: times (ns) at which something between packets could not be read.
    """

    def __init__(
        self,
        path: Path,
        offsets: Mapping[int, int],
        origin: int,
        start: int,
        max_gap: int,
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._path, self._offsets, self._origin, self._start = path, offsets, origin, start
        self._max_gap = max_gap
        self._open = ExitStack()
        self._begin()
        self._first: Iterable[AnyPacket] = ()  # packets that were read to see where they are
        self.axis: Axis[AnyPacket] = Axis(max_gap, origin)
        self.reached = dict.fromkeys(offsets, 0)
        self.unreadable: list[int] = []
        self.late_track = False
        self._last: dict[int, int] = {}  # by stream: the time of its last packet, ns
        self._shifts: dict[int, int] = {}  # and its shift

    def __iter__(self) -> Iterator[AnyPacket]:
        """The packets; at the end one without data for each stream, to flush its decoder."""
        if self._start == 0:
            return self._on_axis()
        if self._start > PREROLL and not self._seek():
            self._open.close()
            self._begin()
        return self._from_start(self._on_axis())

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def _begin(self) -> None:
        self.container = self._open.enter_context(open_container(self._path, limits=self._limits))
        self.streams = self._prepared(self.container)

    def _seek(self) -> bool:
        """Go to the group of pictures of the start; whether the index, and what is read there, allow it."""
        videos = [stream for stream in self.streams if isinstance(stream, VideoStream)]
        if not videos:
            return False
        assert videos[0].time_base is not None
        shift = self._offsets[videos[0].index] - self._origin
        target = Fraction(self._start - PREROLL - shift, SECOND) / videos[0].time_base
        try:
            self.container.seek(math.floor(target), stream=videos[0])
            indexed = [self._goes_forward(stream, target * videos[0].time_base) for stream in self.streams]
            if indexed[self.streams.index(videos[0])] is not True or False in indexed:
                return False
            first = []
            for packet in self.container.demux(self.streams):
                first.append(packet)
                if packet.stream is videos[0]:
                    break
        except (av.error.FFmpegError, LookupError):
            return False
        if not first or first[-1].pts is None or not first[-1].is_keyframe:
            return False
        begin = to_ns(first[-1].pts, first[-1].time_base) + shift
        if begin > self._start - PREROLL:
            return False
        self._first, self.axis = first, Axis(self._max_gap, self._origin, begin)
        return True

    def _goes_forward(self, stream: VideoStream | AudioStream, until: Fraction) -> bool | None:
        """Whether the index says so of all times up to `until` (s); None where there is none."""
        assert stream.time_base is not None
        times = np.array([entry.timestamp for entry in stream.index_entries])
        if times.size < 2:
            return None
        before = times[: int(np.searchsorted(times, float(until / stream.time_base))) + 1]
        longest = int(np.diff(before).max(initial=0)) * stream.time_base * SECOND
        return bool((np.diff(times) >= 0).all()) and longest <= self._max_gap

    def _prepared(self, container: InputContainer) -> list[VideoStream | AudioStream]:
        """The streams that are read, set up for decoding."""
        streams = []
        for stream in container.streams:
            if stream.index in self._offsets and isinstance(stream, VideoStream | AudioStream):
                stream.codec_context.copy_opaque = True
                if isinstance(stream, VideoStream):
                    # Several threads decode damaged pictures differently from run to run, unmarked.
                    stream.thread_type = "NONE"
                    jpeg = stream.codec_context.name == "mjpeg"
                    limit = {"max_pixels": str(self._limits.coded_pixels)}
                    stream.codec_context.options = limit | (WHOLE if jpeg else {})
                streams.append(stream)
        return streams

    def _read(self) -> Iterator[AnyPacket]:
        """The packets of the file, and of each of the same format that was joined to it."""
        container, streams, begin, after = self.container, self.streams, 0, 0
        while True:
            for packet in itertools.chain(self._first, self._read_part(container, streams)):
                if packet.size and packet.pos is not None:
                    after = max(after, begin + packet.pos + packet.size)
                yield packet
            self._first = ()
            following = next_part(self._path, container, after)
            if following is None:
                return
            try:
                container = self._open.enter_context(open_container(self._path, following, self._limits))
            except UserError:
                return
            streams, begin, after = self._prepared(container), following, following + 1
            if [s.type for s in streams] != [s.type for s in self.streams]:
                return

    def _read_part(
        self, container: InputContainer, streams: Sequence[VideoStream | AudioStream]
    ) -> Iterator[AnyPacket]:
        """The packets of a file; after an error of reading it goes on behind it."""
        errors = 0
        while True:
            try:
                for packet in container.demux(streams):
                    errors = 0
                    yield packet
                return
            except LookupError:  # PyAV's, at the end, if a track began later than FFmpeg looks
                self.late_track = True
                return
            except av.error.FFmpegError:
                errors += 1
                if errors == 1:
                    self.unreadable.append(self.axis.reached)
                if errors > _ERRORS:
                    return

    def _on_axis(self) -> Iterator[AnyPacket]:
        flush: dict[int, AnyPacket] = {}  # to the decoders of the last part
        for packet in self._read():
            index = packet.stream.index
            if not packet.size:
                flush[index] = packet
                continue
            if index in flush:
                yield flush.pop(index)
            before = self._last.get(index)
            pts, dts = packet.pts, packet.dts
            if pts is not None and dts is not None:
                away = abs(to_ns(pts - dts, packet.time_base))
                packet.pts = dts if away > self._max_gap else pts  # no order of decoding is so far away
            time = self._time(packet)
            lasts = to_ns(packet.duration or 0, packet.time_base)
            if not lasts and before is not None and 0 < time - before < SECOND:
                lasts = time - before
            shown = time if packet.pts is None else self._own(packet.pts, packet)
            yield from map(self._shifted, self.axis.push(index, time, shown, shown + lasts, packet))
        yield from map(self._shifted, self.axis.flush())
        yield from flush.values()

    def _own(self, pts: int, packet: AnyPacket) -> int:
        """ns on the file's own axis, with the offset of the stream."""
        return to_ns(pts, packet.time_base) + self._offsets[packet.stream.index]

    def _time(self, packet: AnyPacket) -> int:
        """ns on the file's own axis: when it is to be decoded, which only increases."""
        index = packet.stream.index
        at = packet.dts
        if at is None and (index not in self._last or not isinstance(packet.stream, VideoStream)):
            at = packet.pts  # of pictures, it follows the order of presentation
        time = self._last.get(index, self._origin) if at is None else self._own(at, packet)
        self._last[index] = time
        end = packet.pts if packet.pts is not None else packet.dts
        if end is not None:
            reached = to_ns(end + (packet.duration or 0), packet.time_base)
            self.reached[index] = max(self.reached[index], reached)
        return time

    def _shifted(self, placed: tuple[AnyPacket, int | None]) -> AnyPacket:
        packet, shift = placed
        index = packet.stream.index
        if shift is None:  # its time is worth nothing
            packet.pts = packet.dts = None
            shift = self._shifts.get(index, -self._origin)
        self._shifts[index] = shift
        # A new object each time: PyAV keeps them by identity, and drops a shared one with its first user.
        packet.opaque = (shift + self._offsets[index],)
        return packet

    def _from_start(self, packets: Iterable[AnyPacket]) -> Iterator[AnyPacket]:
        held: list[AnyPacket] = []  # of pictures, since the last key picture
        size = 0
        decoding = False
        for packet in packets:
            at = packet.dts if packet.pts is None else packet.pts
            time = None if at is None else to_ns(at, packet.time_base) + shift_of(packet)
            if not isinstance(packet.stream, VideoStream):
                lasts = to_ns(packet.duration or 0, packet.time_base)
                if time is None or time + lasts >= self._start - PREROLL:
                    yield packet
                continue
            if decoding:
                yield packet
                continue
            decoding = not packet.size or (time is not None and time >= self._start)
            if packet.is_keyframe and not decoding:
                held, size = [], 0
            held.append(packet)
            size += packet.size
            if decoding := decoding or size > _HELD:
                yield from held
                held = []
