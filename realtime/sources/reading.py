"""What a run needs of a recording: the pictures to analyse, and audio features."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
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


def read(
    recording: Recording,
    audio: AudioFeatures | None,
    pictures: bool,
    first_tick: Callable[[int], int],
    in_order: bool,
) -> Iterator[Material]:
    """The material of a recording; all that was decoded comes before an error of the recording.

    Args:
        audio: turns sound into samples; None if sound is not needed.
        pictures: whether pictures are needed.
        first_tick: the first tick that a picture can serve, by its originating time. A picture is superseded
            if the next one can serve that tick too: it is left out, not analysed, and counted in
            `recording.found`.
        in_order: merge the streams by time, as far as `HELD` and `SKEW` allow, rather than leave them in the
            order of the file. Needed only if material is paced by its times.
    """
    failure: Exception | None = None

    def decoded() -> Iterator[Frame | Sound]:
        nonlocal failure
        try:
            yield from recording
        except Exception as error:
            failure = error

    def in_file_order() -> Iterator[Material]:
        newest = -END  # ns; of all that was read
        held: Frame | None = None  # the last picture, until the next one shows whether it is superseded

        def material(content: Frame | Sample) -> Material:
            return Material(content, time.monotonic_ns(), newest - SKEW)

        for item in decoded():
            if isinstance(item, Frame):
                if not pictures:
                    continue
                newest = max(newest, item.originating_time)
                if held is not None:
                    if first_tick(held.originating_time) == first_tick(item.originating_time):
                        recording.found.pictures["superseded"] += 1
                    else:
                        yield material(held)
                held = item
            elif audio is not None and (samples := audio.push(item)):
                newest = max(newest, samples[-1].originating_time)
                if held is not None and held.originating_time <= newest - SKEW:  # no next one
                    yield material(held)
                    held = None
                yield from map(material, samples)  # one by one: a picture may lie between two
        if held is not None:
            yield material(held)

    yield from _by_time(in_file_order(), pictures + (audio is not None)) if in_order else in_file_order()
    if failure is not None:
        raise failure


def _by_time(materials: Iterable[Material], streams: int) -> Iterator[Material]:
    """Sorted by time: a stream that is ahead of the other is held back."""
    held: list[tuple[int, int, Material]] = []  # a heap, by time, then in the order of the file
    size = 0  # bytes of pictures in it
    reached: dict[type, int] = {}
    for count, material in enumerate(materials):
        heapq.heappush(held, (material.time, count, material))
        size += size_of(material)
        reached[type(material.content)] = material.time
        read_until = material.settled  # everything up to this is held, or was yielded
        if len(reached) == streams:
            read_until = max(read_until, min(reached.values()))
        while held and (held[0][0] <= read_until or size > HELD):
            _, _, first = heapq.heappop(held)
            size -= size_of(first)
            yield replace(first, settled=min(read_until, held[0][0] - 1) if held else read_until)
    yield from (material for _, _, material in sorted(held))


def size_of(material: Material) -> int:
    """Bytes of a picture; 0 of features."""
    return material.content.image.nbytes if isinstance(material.content, Frame) else 0
