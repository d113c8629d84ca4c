"""A camera whose pictures become features of the face, for hours: it may vanish and come back."""

import math
import threading
import time
from collections.abc import Mapping
from statistics import fmean
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.addresses import without_password
from ..features.face import FOLLOW_LARGEST, Extractor, FaceOptions
from ..streams.cadence import Cadence
from ..streams.counts import Counts
from ..streams.samples import SECOND, View
from .camera import Camera, Picture
from .camera_diagnosis import camera_of, diagnose_camera
from .camera_process import CREDIT
from .offer import FACES
from .process import ProcessDevice

OPENING: Final = 8.0  # s; the process starts, and OpenCV gives an address 5 s
# s of waiting without a new picture, after which the camera is lost: so long, or twice the longest of its
# last intervals if that is more. Before there are enough intervals to know its rate: from the third picture
# on `EARLY`, or ten times the longest interval; else `FIRST`.
FROZEN: Final = 0.7
EARLY: Final = 2.0
FIRST: Final = 6.0
ENOUGH: Final = 5
SLOW: Final = 2  # intervals after which a camera is reported as slow

# Of the picture's longer side: a narrower face is not found. MediaPipe's detector gets 128×128 pixels of it;
# measured: 0.10 to 0.13 in pictures of 320×240 to 1280×720.
SMALLEST: Final = 1 / 8
DARK: Final = 24  # mean brightness of 255 below which no face is expected; video black is 16
BLANK: Final = 6  # standard deviation of brightness below which there is nothing but noise


_REMEDIES: Final = {  # by `View.problem`
    "too small": "come closer",
    "partly out of view": "turn the camera to it",
    "too dark": "add light",
    "blurred": "clean or focus the camera, add light",
    "turned away": "its expressions cannot be seen",
}


class CameraFace(ProcessDevice):
    """The face in the newest picture of a camera.

    The device's thread asks the camera's process for a picture, extracts, delivers, and asks again: whatever
    extraction takes, the picture it works on was the newest when it began. With `keep`, the process sends
    every picture and only the newest is extracted.

    Every picture is counted with the inlet: those delivered, and dropped by reason: `superseded` (a newer one
    was there, or would come before a tick), `skipped` (`face_every`), `repeated`, `broken` (cannot be
    decoded), `after_end`, `failed` (an error of its extraction, which ends the thread), and the inlet's
    reasons. A picture that waits in a process when it ends was never captured.

    Args:
        source: a device's index or its path, or the address of a stream (RTSP, MJPEG over HTTP).
        size: width and height in pixels to ask a device for; addresses give what they give.
        rate: frames/s, likewise.
        face_every: extract from every n-th picture.
        faces: how to extract their features.
        preview: whether the landmarks of the newest picture are shown.

    Raises:
        UserError: at construction, the source is not a camera.
    """

    name = "camera"
    offer = FACES
    material = "pictures"

    def __init__(
        self,
        source: int | str,
        *,
        size: tuple[int, int] = (640, 480),
        rate: float = 30,
        face_every: int = 1,
        faces: FaceOptions = FOLLOW_LARGEST,
        preview: bool = False,
    ) -> None:
        self._address = camera_of(source)
        super().__init__("camera_process", {"source": self._address, "size": size, "rate": rate}, OPENING)
        self.source = without_password(str(self._address))
        self._face_every, self._faces, self.preview = face_every, faces, preview
        self.people = faces.people
        self._camera = Camera()
        self._face: Extractor | None = None
        self._using = threading.Lock()  # held from the check that it is open to the delivery of a sample
        self._taken = 0  # pictures that could be extracted
        self._cadence = Cadence()  # of those that `face_every` leaves
        self._warned = False  # that it is slow
        self._extract_ms = 0.0  # of the newest picture
        self._without: tuple[NDArray[np.uint8], View] | None = None  # the newest picture without features
        self._width: float | None = None  # of the face when last seen, as a share of the picture's

    @property
    def format(self) -> str:
        """What the camera delivers, as `640×480 at 30 frames/s, MJPG`."""
        return self._camera.format

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures, pixels; (0, 0) before the first."""
        return self._camera.size

    @property
    def landmarks(self) -> NDArray[np.float32] | None:
        """Of the newest picture, see `FaceFeatures`."""
        face = self._face
        return None if face is None else face.landmarks

    @property
    def others(self) -> Mapping[int, NDArray[np.float32]]:
        """Likewise of the other people, by id."""
        face = self._face
        return {} if face is None else face.others

    @property
    def chooses(self) -> bool:
        """See `Source.chooses`."""
        return self._faces.chooses

    def follow(self, person: int) -> None:
        """See `Source.follow`."""
        if self._face is not None:
            self._face.follow(person)

    def _open(self) -> None:
        self._face = self._faces.open()
        self._camera.shift = self._inlet.clock() - time.monotonic_ns()
        self._request["all"] = self.keep is not None
        super()._open()

    def close(self) -> None:
        super().close()
        with self._using:  # extraction ends first
            if self._face is not None:
                self._face.close()
                self._face = None

    def why_missing(self, kind: str, recent: Counts, span: int) -> str:
        max_age = self._inlet.max_age / SECOND
        rate = (recent.delivered + recent.dropped["skipped"]) * SECOND / span
        if kind == "nothing":
            return "the camera gives no pictures; check that it is plugged in and switched on"
        if kind == "repeated":
            return "the camera repeats its last picture; restart it"
        if kind == "broken":
            return "pictures arrive damaged; check the cable or the network"
        if kind == "empty":
            return self._why_no_face()
        if kind == "skipped":
            every = max(int(rate * max_age), 1)
            return f"--face-every {self._face_every} leaves too few pictures; try --face-every {every}"
        if kind == "late":
            late = super().why_missing(kind, recent, span)
            return f"{late} (analysing a picture takes {self._extract_ms:.0f} ms)"
        if kind == "slow":
            return f"only {rate:.2g} pictures/s come, each counts for {max_age:g} s; raise the camera's rate"
        return super().why_missing(kind, recent, span)

    def _why_no_face(self) -> str:
        assert self._without is not None
        picture, view = self._without
        if view.problem is not None:
            return f"the face is {view.problem}; {_REMEDIES[view.problem]}"
        if view.faces:
            others = "another face is" if view.faces == 1 else f"{view.faces} other faces are"
            return f"person {view.person} is not in view, {others}; --person-handover S takes the next one"
        height, width, _ = picture.shape
        pixels = picture[::8, ::8]
        if (brightness := pixels.mean()) < DARK:
            return f"the picture is dark (brightness {brightness:.0f} of 255); add light, uncover the camera"
        if pixels.std(axis=(0, 1)).max() < BLANK:
            return "the picture is blank; uncover the camera"
        none, smallest = f"no face found ({width}×{height})", SMALLEST * max(width, height)
        last = None if self._width is None else self._width * width
        if last is not None and last < 1.5 * smallest:
            return f"{none}; it was {last:.0f} pixels wide when last seen: come closer"
        return f"{none}; it has to be at least {smallest:.0f} pixels wide"

    def _diagnose(self, reason: str) -> str:
        return diagnose_camera(self._address, reason)

    def _read(self, properties: dict[str, Any], pipe: IO[bytes]) -> str:
        self._camera.restart(properties)
        self._expect(FIRST)
        while True:
            self._send(CREDIT)
            received = self._camera.read(pipe)
            if received is None:
                return "dark"
            if received.superseded:
                self._inlet.drop("superseded", received.superseded)
            if received.picture is None:
                assert received.problem is not None
                self._inlet.drop(received.problem)
                continue
            self._expect(math.inf)  # a slow extraction is not a hanging camera
            self._received()
            reason: str | None = "failed"
            try:
                with self._using:
                    reason = self._use(received.picture, received.waiting > 0)
            finally:
                if reason is not None:
                    self._inlet.drop(reason)
            self._expect(self._patience())

    def _patience(self) -> float:
        """s until the next new picture; warns of a slow camera."""
        intervals, max_age = self._camera.intervals, self._inlet.max_age
        if not self._warned and len(intervals) >= SLOW and min(intervals) > max_age:
            self._warned = True
            self._inlet.warn(
                f"camera: {SECOND / fmean(intervals):.1f} frames/s: the face counts as present for "
                f"{max_age / SECOND:g} s after each picture; let the camera send more"
            )
        if len(intervals) >= ENOUGH:
            return max(FROZEN, 2 * max(intervals) / SECOND)
        return min(max(EARLY, 10 * max(intervals) / SECOND), FIRST) if len(intervals) >= SLOW else FIRST

    def _use(self, picture: Picture, superseded: bool) -> str | None:
        """Deliver the features of a picture, or return why it is dropped."""
        inlet, at = self._inlet, picture.originating_time
        if self._face is None or self._stopped.is_set():
            return "after_end"
        if (unwanted := inlet.unwanted) is not None:
            return unwanted
        if self.keep is not None:
            self.keep(picture)
        inlet.advance(at - 1)  # ticks before it need not wait for its extraction
        if superseded:
            return "superseded"
        self._taken += 1
        if (self._taken - 1) % self._face_every:
            return "skipped"
        self._cadence.add(at)
        usual = self._cadence.usual
        if usual is not None and at + usual <= inlet.next_tick(at):  # the next one comes before a tick does
            return "superseded"
        began = time.perf_counter_ns()
        if (image := picture.image) is None:
            inlet.advance(at + self._cadence.quiet)  # nor do ticks wait for the next one
            return "broken"
        values, view = self._face.extract(image, at)
        self._extract_ms = (time.perf_counter_ns() - began) / 1e6
        if view.box is not None:
            self._width = view.box[2]
        if values is None:
            self._without = image, view
        inlet.sample(values, at, at + self._cadence.quiet, self._extract_ms, view)
        return None
