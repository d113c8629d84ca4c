"""Pictures and sound of a live session, with `keep_media`: one Matroska file, a recording like any other."""

import math
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ..features.resampling import RATE
from ..streams import wall_clock
from ..streams.mailbox import Mailbox
from ..streams.samples import SECOND, Sound
from .muxer import Item, MediaFile, jpeg_size, muxing

MS: Final = SECOND // 1000  # ns; FFmpeg writes Matroska in whole milliseconds
# Bytes that may wait for the disk: 40 s of a 640×480 MJPEG camera, or 1.7 s of RGB pictures; 10 s of sound.
# Each stream has its own, so that pictures do not displace sound.
ROOM: Final = {"pictures": 48 * 2**20, "sound": 10 * 4 * RATE}

_FIRST: Final = 0.5  # s; that the header waits for the first picture, whose size it declares
# Pixels; declared without a picture. Each picture has its own size, but FFmpeg's decoder takes one that is
# less than 3/4 as high as declared for one of two fields.
_SIZE: Final = (16, 16)
_PAUSE: Final = 0.05  # s; between two looks at the mailboxes
_LEAVING: Final = 10.0  # s; for a disk that hangs


class MediaWriter:
    """Writes pictures and sound as they come. A context manager; its methods may be called from any thread.

    JPEG pictures are kept byte by byte; others become MJPEG (4:4:4, quantiser 2). Each picture has its own
    size; the header declares that of the first, or 16×16 if none came within half a second of the first
    sound. Sound is kept exactly, as float32 PCM. Times are the originating times, rounded to the millisecond;
    they increase, and gaps are kept. Only the file's owner may read it. Without data no file is left.

    `picture` and `sound` never wait for the disk, nor raise its errors: a thread writes. A killed process
    loses at most the last second of each stream; the rest is readable, without index and duration. After a
    write error, which `check` or `close` raises once, what was written stays and further calls only count.

    Args:
        path: the file, `media.mkv`; it must not exist.
        pictures, sound: whether to declare the stream. A declared stream may stay empty.

    Attributes:
        began: gives the wall-clock time of the clock's 0 once there are data; the file says when they began.
        counts: of `pictures`, and of blocks of `sound`: captured = used (written) + dropped by reason +
            waiting; waiting is 0 after `close`. Dropped: `full` (the disk was too slow; the oldest), `broken`
            (not a JPEG that can be decoded), `backward` (not later, in milliseconds, than the one before),
            `negative` (before the clock's 0), `failed` (writing had failed), `after_end`. When writing fails,
            up to a second of what counts as used is lost, too.

    Raises:
        UserError: the file exists, or cannot be written.
        ValueError: from `picture` and `sound`, their argument is not as described.
    """

    def __init__(self, path: Path, *, pictures: bool = True, sound: bool = True) -> None:
        self._path = path
        self.began: Callable[[], datetime | None] = lambda: None
        declared = {"pictures": pictures, "sound": sound}
        self._mailboxes: dict[str, Mailbox[Item]] = {
            name: Mailbox(ROOM[name], size=lambda item: item.nbytes) for name in declared if declared[name]
        }
        self.counts = {name: mailbox.counts for name, mailbox in self._mailboxes.items()}
        self._next: dict[str, Item] = {}  # the oldest item of each stream; the thread's own
        self._lock = threading.Lock()  # guards `_last`, and the order in which items are put
        self._last = dict.fromkeys(self.counts, -1)  # ms
        self._ending = threading.Event()
        self._failed: str | None = None
        self._raised = False
        try:
            self._file = MediaFile(path)
        except FileExistsError:
            raise UserError(f"{path}: is there already; give a new name") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); give another place") from None
        self._thread = threading.Thread(target=self._run, name="enrapt media", daemon=True)
        self._thread.start()

    def picture(self, time: int, picture: bytes | NDArray[np.uint8]) -> None:
        """Keep a picture of that originating time, ns.

        It is a JPEG, or RGB uint8 `[height, width, 3]`, which must not be changed afterwards.
        """
        if not isinstance(picture, np.ndarray):
            self._offer("pictures", time, picture, jpeg_size(picture))
        elif picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
            height, width, _ = picture.shape
            self._offer("pictures", time, picture, (width, height))
        else:
            raise ValueError(f"a picture of {picture.dtype} {picture.shape}; give uint8 [height, width, 3]")

    def sound(self, sound: Sound) -> None:
        """Keep a block of sound."""
        samples = sound.samples
        if samples.dtype != np.float32 or samples.ndim != 1 or not samples.size:
            raise ValueError(f"sound of {samples.dtype} {samples.shape}; give float32 [n]")
        self._offer("sound", sound.originating_time, samples.astype("<f4").tobytes())

    def check(self) -> None:
        """Raise the write error, once."""
        with self._lock:
            if self._failed is None or self._raised:
                return
            self._raised = True
        raise UserError(
            f"{self._path}: cannot be written any more ({self._failed}); "
            "pictures and sound up to here are kept, none after it"
        )

    def close(self) -> None:
        """Write what waits, for at most 10 s, and end the file, once; raises as `check`."""
        self._end()
        self.check()

    def _end(self) -> None:
        for mailbox in self._mailboxes.values():
            mailbox.close()
        self._ending.set()
        self._thread.join(_LEAVING)
        if self._thread.is_alive():
            self._fail("the disk hangs", "full")

    def _offer(
        self, stream: str, time: int, data: bytes | NDArray[np.uint8], size: tuple[int, int] = (0, 0)
    ) -> None:
        at = (time + MS // 2) // MS
        mailbox = self._mailboxes[stream]
        with self._lock:
            last = self._last[stream]
            if stream == "sound" and at == last >= 0:
                at += 1  # after a block of less than a millisecond: FFmpeg needs different times
            if self._failed is not None:
                mailbox.refuse("failed")
            elif stream == "pictures" and not all(size):
                mailbox.refuse("broken")
            elif at < 0:
                mailbox.refuse("negative")
            elif at <= last:
                mailbox.refuse("backward")
            elif mailbox.put(Item(stream, at, data, size)):
                self._last[stream] = at
            else:
                mailbox.refuse("after_end")

    def _run(self) -> None:
        try:
            self._write()
        except Exception as error:
            self._fail_with(error)
            for stream in self._next:
                self._mailboxes[stream].lose("failed")
        try:
            self._file.close()
            if not any(counts.used for counts in self.counts.values()):
                self._path.unlink(missing_ok=True)
        except OSError as error:
            self._fail_with(error)

    def _write(self) -> None:
        size = None
        if "pictures" in self.counts:
            self._await(self._fetch)
            self._await(lambda: self._fetch() and "pictures" in self._next, _FIRST)
            size = self._next["pictures"].size if "pictures" in self._next else _SIZE
        else:
            self._await(self._fetch)
        first = min((item.time for item in self._next.values()), default=0)
        created = wall_clock.at(self.began(), first / 1000)
        with muxing(self._file, size, "sound" in self.counts, created) as muxer:
            while self._await(self._fetch):
                item = min(self._next.values(), key=lambda item: item.time)
                muxer.write(item)
                del self._next[item.stream]

    def _fetch(self) -> bool:
        """Get the next item of each stream; False if there is none at all."""
        for stream, mailbox in self._mailboxes.items():
            if stream not in self._next and (item := mailbox.get(0)) is not None:
                self._next[stream] = item
        return bool(self._next)

    def _await(self, condition: Callable[[], object], seconds: float = math.inf) -> bool:
        """Wait for it or for the end; whether it came. Being woken by each block of sound would cost more."""
        give_up = time.monotonic() + seconds
        while not (met := condition()) and not self._ending.is_set() and time.monotonic() < give_up:
            self._ending.wait(_PAUSE)
        return bool(met or condition())  # at the end, what was put after the last look

    def _fail_with(self, error: Exception) -> None:
        """For `check`."""
        cause = self._file.error  # PyAV's own error does not have the cause
        why = " ".join(str(cause.strerror if cause else error).split()) or type(error).__name__
        self._fail(why, "failed")

    def _fail(self, why: str, reason: str) -> None:
        with self._lock:
            if self._failed is None:
                self._failed = why
            for mailbox in self._mailboxes.values():
                mailbox.close()
                mailbox.clear(reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end()
        if kind is None:  # otherwise another exception is being raised
            self.check()
