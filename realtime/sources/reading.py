"""What a run needs of a recording: the pictures to analyse, and audio features."""

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ..features.audio import AudioFeatures
from ..streams.alignment import END
from ..streams.samples import SECOND, Frame, Sample, Sound
from .recording import Recording

# The streams of a file are interleaved. One that lags by more than this has ended, or pauses.
SKEW: Final = 60 * SECOND
HELD: Final = 96 * 2**20  # bytes of pictures held back at most to merge the streams by time


@dataclass(frozen=True, slots=True)
class Material:
    """A picture, or features.

    Attributes:
        decoded: ns on the clock of `time.monotonic_ns`.
        settled: ns; nothing of any stream with an originating time up to this comes after it.
        extract_ms: what extracting the features from a picture took.
    """

    content: Frame | Sample
    decoded: int
    settled: int
    extract_ms: float | None = None

    @property
    def time(self) -> int:
        """ns; its originating time."""
        return self.content.originating_time


class Reading:
    """The material of a recording; iterate once.

    Args:
        audio: turns sound into samples; None if sound is not needed.
        pictures: whether pictures are needed.
        first_tick: the first tick that a picture can serve, by its originating time. A picture is superseded
            if the next one can serve that tick too: it is left out, and not analysed.
        in_order: merge the streams by time, as far as `HELD` and `SKEW` allow, rather than leave them in the
            order of the file. Needed only if material is paced by its times.

    Attributes:
        superseded: pictures left out so far.
    """

    def __init__(
        self,
        recording: Recording,
        audio: AudioFeatures | None,
        pictures: bool,
        first_tick: Callable[[int], int],
        in_order: bool,
    ) -> None:
        self.superseded = 0
        self._recording, self._audio, self._pictures = recording, audio, pictures
        self._first_tick, self._in_order = first_tick, in_order
        self._newest = -END  # ns; of all that was read
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[Material]:
        yield from self._sorted() if self._in_order else self._read()
        if self._failure is not None:
            raise self._failure

    def _decoded(self) -> Iterator[Frame | Sound]:
        """What the recording gives until it ends or fails: what is held back then comes before the error."""
        try:
            yield from self._recording
        except Exception as error:
            self._failure = error

    def _read(self) -> Iterator[Material]:
        """In the order of the file."""
        held: Frame | None = None  # the last picture, until the next one shows whether it is superseded
        for item in self._decoded():
            if isinstance(item, Frame):
                if not self._pictures:
                    continue
                self._newest = max(self._newest, item.originating_time)
                if held is not None:
                    if self._first_tick(held.originating_time) == self._first_tick(item.originating_time):
                        self.superseded += 1
                    else:
                        yield self._material(held)
                held = item
            elif self._audio is not None and (samples := self._audio.push(item)):
                self._newest = max(self._newest, samples[-1].originating_time)
                if held is not None and held.originating_time <= self._newest - SKEW:  # no next one
                    yield self._material(held)
                    held = None
                yield from map(self._material, samples)  # one by one: a picture may lie between two
        if held is not None:
            yield self._material(held)

    def _material(self, content: Frame | Sample) -> Material:
        return Material(content, time.monotonic_ns(), self._newest - SKEW)

    def _sorted(self) -> Iterator[Material]:
        """By time: a stream that is ahead of the other is held back."""
        held: list[tuple[int, int, Material]] = []  # a heap, by time, then in the order of the file
        size = 0  # bytes of pictures in it
        streams = self._pictures + (self._audio is not None)
        reached: dict[type, int] = {}
        for count, material in enumerate(self._read()):
            heapq.heappush(held, (material.time, count, material))
            size += _size(material)
            reached[type(material.content)] = material.time
            read = material.settled  # everything up to this is held, or was yielded
            if len(reached) == streams:
                read = max(read, min(reached.values()))
            while held and (held[0][0] <= read or size > HELD):
                _, _, first = heapq.heappop(held)
                size -= _size(first)
                yield replace(first, settled=min(read, held[0][0] - 1) if held else read)
        for _, _, material in sorted(held):
            yield material


def _size(material: Material) -> int:
    return material.content.image.nbytes if isinstance(material.content, Frame) else 0
