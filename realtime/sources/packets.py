"""The packets of a recording, with their times on one axis, from a start on."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import av
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet
from av.video.stream import VideoStream

from ..streams.axis import Axis
from ..streams.samples import SECOND
from .container import to_ns

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

    The file is always read from its beginning: after a seek it would be unknown which steps came before. What
    lies before the start is not decoded but for the group of pictures in which the start lies.

    Args:
        offsets: of the streams that are read: ns to add to their times.
        origin: ns on the file's own axis; time 0.
        start: ns.
        max_gap: ns; see `Axis`.

    Attributes:
        axis: how the file's times became one axis.
        reached: the file's own time, ns, up to which there were packets, by stream index.
        unreadable: times (ns) at which something between packets could not be read.
    """

    def __init__(
        self, container: InputContainer, offsets: Mapping[int, int], origin: int, start: int, max_gap: int
    ) -> None:
        self._container, self._offsets, self._origin, self._start = container, offsets, origin, start
        self._streams = [stream for stream in container.streams if stream.index in offsets]
        self.axis: Axis[AnyPacket] = Axis(max_gap, origin)
        self.reached = dict.fromkeys(offsets, 0)
        self.unreadable: list[int] = []
        self._last: dict[int, int] = {}  # by stream: the time of its last packet, ns

    def __iter__(self) -> Iterator[AnyPacket]:
        """The packets; at the end one without data for each stream, to flush its decoder."""
        packets = self._on_axis()
        return self._from_start(packets) if self._start > 0 else packets

    def _read(self) -> Iterator[AnyPacket]:
        """The packets of the file; after an error of reading it goes on behind it."""
        errors = 0
        while True:
            try:
                for packet in self._container.demux(self._streams):
                    errors = 0
                    yield packet
                return
            except av.error.FFmpegError:
                errors += 1
                if errors == 1:
                    self.unreadable.append(self.axis.reached)
                if errors > _ERRORS:
                    return

    def _on_axis(self) -> Iterator[AnyPacket]:
        flush: list[AnyPacket] = []
        for packet in self._read():
            if not packet.size:
                flush.append(packet)
                continue
            time, lasts = self._time(packet), to_ns(packet.duration or 0, packet.time_base)
            yield from map(self._shifted, self.axis.push(packet.stream.index, time, time + lasts, packet))
        yield from map(self._shifted, self.axis.flush())
        yield from flush

    def _time(self, packet: AnyPacket) -> int:
        """ns on the file's own axis: when it is to be decoded, which only increases."""
        index = packet.stream.index
        at = packet.dts
        if at is None and (index not in self._last or not isinstance(packet.stream, VideoStream)):
            at = packet.pts  # of pictures, it follows the order of presentation
        if at is None:
            time = self._last.get(index, self._origin)
        else:
            time = to_ns(at, packet.time_base) + self._offsets[index]
        self._last[index] = time
        end = packet.pts if packet.pts is not None else packet.dts
        if end is not None:
            reached = to_ns(end + (packet.duration or 0), packet.time_base)
            self.reached[index] = max(self.reached[index], reached)
        return time

    def _shifted(self, placed: tuple[AnyPacket, int | None]) -> AnyPacket:
        packet, shift = placed
        if shift is None:
            packet.pts = packet.dts = None
            shift = 0
        # A new object each time: PyAV keeps them by identity, and drops a shared one with its first user.
        packet.opaque = (shift + self._offsets[packet.stream.index],)
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
