"""A live session: opens the devices, and gives an estimate per tick.

    with LiveSession(camera=0, mic="default") as session:
        for estimate in session:
            print(estimate.engagement.mean)

Nothing leaves the machine. What is recorded, if it is asked for, are features and estimates; pictures and
sound are kept if that is asked for as well, and never otherwise.
"""

import copy
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ..bundle.bundle import Bundle, Metadata
from ..contracts.errors import UserError
from .calibration import Calibration
from .engine.engine import Engine
from .engine.estimate import Estimate
from .features.audio import AudioFeatures
from .features.face import FaceFeatures
from .features.face_model import find_face_model
from .introduction import introduction
from .introduction import status as status_of
from .outputs import Outputs
from .sources.camera import Camera, Picture
from .sources.camera_diagnosis import without_password
from .sources.live import LiveLoop
from .sources.microphone import Microphone
from .statistics import Statistics
from .streams.counts import Counts, conservation
from .streams.pacing import MAX_WAIT
from .streams.samples import SECOND, Observation, Sound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .page.server import PageServer
    from .sources.lsl import LslSource
    from .store.folder import SessionWriter
    from .store.media import MediaWriter

MEDIA: Final = "media.mkv"  # in a session's folder


class LiveSession:
    """A camera and a microphone, live. A context manager; iterate within it.

    Estimates come at the bundle's rate, in order, whatever happens to the devices: what is lost is missing,
    and comes back by itself.

    Args:
        camera: index, /dev path, RTSP or HTTP-MJPEG address; None for none.
        mic: its name or a part of it; `default` for the system's; None for none.
        face: `lsl:NAME`, a stream of features instead of a camera; see `devices.lsl_source`.
        audio: `lsl:NAME`, a stream of features or sound instead of a microphone.
        bundle: a file, or a shipped one's name.
        camera_size: pixels, width and height to ask for.
        camera_rate: frames a second to ask for.
        face_every: look for the face in every n-th picture.
        context: raw values of the bundle's context modalities, constant over the session.
        max_wait: seconds after its time at which a tick is told, whatever is still missing.
        face_model: `face_landmarker.task`; looked for, or fetched unless `offline`, if not given.
        record: a new folder, for features, observations and estimates; see `sessions.folder`.
        to: addresses of outputs; see `outputs.addresses`.
        trouble: called with a line for people when an output is lost and when it is back, from any thread.
        preview: show the face's landmarks on the page; never the picture.
        keep_media: keep pictures and sound, too, as `media.mkv` in that folder; see `sessions.media`.

    Attributes:
        statistics: what was present, and how long it took.
        rate: ticks a second.
        camera, microphone: the open devices, None where there is none.
        streams: by modality, the open streams that stand for them.
        calibrated: the level that `calibrate` found; None before.

    Raises:
        UserError: on entering; in a line what is wrong with a device, the bundle or the face model.
    """

    def __init__(
        self,
        camera: int | str | None = 0,
        mic: str | None = "default",
        *,
        face: str | None = None,
        audio: str | None = None,
        bundle: str | Path = "default",
        camera_size: tuple[int, int] = (640, 480),
        camera_rate: int = 30,
        face_every: int = 1,
        context: Mapping[str, Sequence[float]] | None = None,
        max_wait: float = MAX_WAIT / SECOND,
        face_model: Path | None = None,
        offline: bool = False,
        record: Path | None = None,
        keep_media: bool = False,
        preview: bool = False,
        to: Sequence[str] = (),
        trouble: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ) -> None:
        if face_every < 1 or camera_rate < 1 or not 0 <= max_wait <= 10:
            raise UserError("face_every and camera_rate must be at least 1, max_wait from 0 to 10 s")
        if keep_media and record is None:
            raise UserError("pictures and sound are kept in the folder of `record`; give one")
        # Not given, they are 0 and default: nobody has asked for both.
        if face is not None and camera not in (0, None):
            raise UserError(f"the face is of camera {camera} or of {face}: give one of them")
        if audio is not None and mic not in ("default", None):
            raise UserError(f"the sound is of microphone {mic} or of {audio}: give one of them")
        self._asked = None if face is not None else camera, None if audio is not None else mic
        self._addresses = {m: address for m, address in (("face", face), ("audio", audio)) if address}
        self._bundle = bundle
        self._camera_options: dict[str, Any] = {"size": camera_size, "rate": camera_rate}
        self._loop_options: dict[str, Any] = {
            "face_every": face_every,
            "context": context,
            "max_wait": round(max_wait * SECOND),
        }
        self._face_model, self._offline = face_model, offline
        self._record = record
        self._writer: SessionWriter | None = None
        self._keep_media = keep_media
        self._preview = preview
        self._face: FaceFeatures | None = None
        self._media: MediaWriter | None = None
        self._to, self._trouble = to, trouble
        self._outputs: Outputs | None = None
        self._asked_for: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._calibration: Calibration | None = None
        self.calibrated: float | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._stack = ExitStack()
        self.statistics = Statistics()
        self._loop: LiveLoop | None = None
        self.rate = 0
        self.camera: Camera | None = None
        self.microphone: Microphone | None = None
        self.streams: dict[str, LslSource] = {}

    def __enter__(self) -> Self:
        bundle = Bundle.load(self._bundle)
        engine = Engine(bundle)
        self.rate = engine.rate
        camera, mic = self._asked
        clock = time.monotonic_ns
        with ExitStack() as stack:  # what was opened is closed again if the rest cannot be
            face = audio = None
            keep_sound = self._keep_sound if self._keep_media else None
            for modality, address in self._addresses.items():
                if modality in engine.inputs:
                    from .sources.lsl import LslSource  # which needs pylsl

                    source = LslSource(address, modality, clock, keep_sound, self._trouble)
                    self.streams[modality] = stack.enter_context(source)
            features = {m: stream for m, stream in self.streams.items() if stream.kind == "features"}
            sound = self.streams.get("audio") if "audio" not in features else None
            if camera is not None and "face" in engine.inputs:
                model = find_face_model(self._face_model, offline=self._offline)
                face = self._face = stack.enter_context(FaceFeatures(model, self._preview))
                keep = self._keep_picture if self._keep_media else None
                self.camera = stack.enter_context(Camera(camera, clock, keep=keep, **self._camera_options))
            if mic is not None and "audio" in engine.inputs:
                name = None if mic == "default" else mic
                self.microphone = stack.enter_context(Microphone(name, clock, keep_sound))
            if self.microphone is not None or sound is not None:
                audio = AudioFeatures()
            if self._keep_media and face is None and audio is None:
                raise UserError("there are no pictures and no sound to keep: features are kept anyway")
            if self._record is not None:
                from .store.folder import SessionWriter  # which needs pyarrow

                self._writer = SessionWriter(self._record, self._description(bundle.metadata))
                if self._keep_media:
                    from .store.media import MediaWriter

                    media = MediaWriter(
                        self._record / MEDIA, pictures=face is not None, sound=audio is not None
                    )
                    self._media = stack.enter_context(media)
            self._outputs = stack.enter_context(Outputs(self._to, live=True, trouble=self._trouble))
            loop = LiveLoop(
                engine,
                clock,
                camera=self.camera,
                face=face,
                microphone=self.microphone or sound,
                audio=audio,
                features=features,
                listener=self._writer,
                **self._loop_options,
            )
            self._loop = stack.enter_context(loop)
            self._metadata = bundle.metadata
            if self._outputs.page is not None:
                self._outputs.page.observe(self)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self.stop()
            self._thread.join()
        if kind is None and self._failure is not None:
            kind, error = type(self._failure), self._failure
        try:
            self._stack.__exit__(kind, error, trace)
        finally:
            if self._writer is not None:
                if kind is None or issubclass(kind, KeyboardInterrupt):
                    self._writer.close(self.summary())
                else:
                    self._writer.__exit__(kind, error, trace)
        if self._failure is not None and error is self._failure:
            raise self._failure

    def __iter__(self) -> Generator[Estimate]:
        if self._loop is None or self._outputs is None:
            raise RuntimeError("enter the session first: with LiveSession() as session")
        for estimate in self._loop:
            self.statistics.add(estimate)
            if self._media is not None:
                self._media.check()
            assert self._loop.observation is not None
            self._outputs.write(estimate, self._loop.observation)
            self._look_after(estimate)
            yield estimate

    def start(self, callback: Callable[[Estimate], None]) -> None:
        """Call back with each estimate, from a thread of the session's own, until `stop` or the end of the
        context. What goes wrong there is raised at that end."""

        def run() -> None:
            try:
                for estimate in self:
                    callback(estimate)
            except BaseException as error:
                self._failure = error

        self._thread = threading.Thread(target=run, name="enrapt callback", daemon=True)
        self._thread.start()

    def _keep_picture(self, picture: Picture) -> None:
        if self._media is not None and (zero := self._kept_from()) is not None:
            self._media.picture(picture.originating_time - zero, picture.data)

    def _keep_sound(self, sound: Sound) -> None:
        if self._media is not None and (zero := self._kept_from()) is not None:
            self._media.sound(Sound(sound.originating_time - zero, sound.samples))

    def _kept_from(self) -> int | None:
        """The first tick's time; None while nothing is to be kept."""
        return None if self._loop is None or self._loop.paused else self._loop.zero

    def mark(self, label: str) -> None:
        """Note something now: in what is recorded, and in outputs that take it. From any thread."""
        if self._loop is not None:
            time = self._loop.now()
            self._asked_for.put(lambda: self._note(time, label))

    def pause(self) -> None:
        """Throw pictures and sound away unseen, until `resume`; ticks go on. From any thread."""
        if self._loop is not None:
            self._loop.paused = True
            self.mark("paused")

    def resume(self) -> None:
        """Go on after `pause`. From any thread."""
        if self._loop is not None:
            self._loop.paused = False
            self.mark("resumed")

    @property
    def observation(self) -> Observation | None:
        """What the model was shown for the latest estimate."""
        return None if self._loop is None else self._loop.observation

    @property
    def page(self) -> "PageServer | None":
        """The server of the page, where an address asked for one."""
        return None if self._outputs is None else self._outputs.page

    @property
    def paused(self) -> bool:
        return self._loop is not None and self._loop.paused

    def reset(self) -> None:
        """Let the model forget everything it saw, for another person for instance. From any thread."""
        if self._loop is not None:
            self._loop.reset()

    def calibrate(self) -> None:
        """Take the next ten seconds in which there is something to go by as this person's usual level; see
        `calibration`. From any thread."""
        self._asked_for.put(self._begin_calibration)

    def _begin_calibration(self) -> None:
        self._calibration, self.calibrated = Calibration(self.rate), None
        self.mark("calibration begins")

    def _note(self, time: int, label: str) -> None:
        if self._writer is not None:
            self._writer.mark(time, label)
        if self._outputs is not None:
            self._outputs.mark(time / SECOND, label)

    def _look_after(self, estimate: Estimate) -> None:
        """Do what was asked for, between two ticks."""
        assert self._outputs is not None
        if self._calibration is not None:
            self.calibrated = self._calibration.add(estimate)
            if self.calibrated is not None:
                self._calibration = None
                self.mark(f"calibrated: {self.calibrated:.3f}")
        while not self._asked_for.empty():
            self._asked_for.get()()

    def description(self) -> dict[str, Any]:
        """What the session is; see `page.observed`."""
        assert self._loop is not None
        return introduction(
            self._metadata,
            "live",
            "live",
            sources=self._loop.sources,
            can=["pause", "mark", "reset", "calibrate"],
            recording=None if self._record is None else str(self._record),
            media_kept=self._keep_media,
        )

    def landmarks(self) -> "tuple[NDArray[Any] | None, float] | None":
        """The face's landmarks for the preview; None without a preview."""
        if not self._preview or self._face is None or self.camera is None:
            return None
        width, height = self.camera.size
        return self._face.landmarks, width / height if height else 4 / 3

    def stop(self) -> None:
        """End the iteration; from any thread or signal handler."""
        if self._loop is not None:
            self._loop.stop()

    @property
    def counts(self) -> dict[str, Counts]:
        """By modality, where its samples went so far; a face's begin as the camera's pictures."""
        assert self._loop is not None
        counts = {modality: copy.deepcopy(counts) for modality, counts in self._loop.counts.items()}
        if self.camera is not None:
            for reason, n in self.camera.counts.dropped.copy().items():
                counts["face"].drop(reason, n)
        for modality, stream in self.streams.items():
            if stream.kind == "features":
                for reason, n in stream.counts.dropped.copy().items():
                    counts[modality].drop(reason, n)
        return counts

    @property
    def devices(self) -> "dict[str, Camera | Microphone | LslSource]":
        """All that is open: `camera`, `microphone`, and streams by their modality."""
        devices = {"camera": self.camera, "microphone": self.microphone, **self.streams}
        return {name: device for name, device in devices.items() if device is not None}

    @property
    def output_counts(self) -> dict[str, Counts]:
        """By address, what became of estimates and marks."""
        return {} if self._outputs is None else self._outputs.counts

    def summary(self) -> dict[str, Any]:
        """What the session was like, for programs: JSON can say it."""
        heard = self.microphone or self.streams.get("audio")
        return {
            "ticks": self.statistics.ticks,
            "presence": {modality: round(x, 4) for modality, x in self.statistics.presence.items()},
            "latency_ms": self.statistics.percentiles(),
            "samples": conservation(self.counts),
            "outputs": conservation(self.output_counts),
            **({} if self._media is None else {"media": conservation(self._media.counts)}),
            "restarts": {name: device.restarts for name, device in self.devices.items()},
            "overflows": 0 if heard is None else heard.overflows,
        }

    def status(self) -> dict[str, Any]:
        """How the session is doing; see `page.observed`."""
        devices = [
            {"name": name, "state": device.state.name, "given": device.given}
            for name, device in self.devices.items()
        ]
        now = {"devices": devices, "paused": self.paused, "calibrated": self.calibrated}
        return status_of(self.statistics, self.counts, self.output_counts, **now)

    def _description(self, metadata: Metadata) -> dict[str, Any]:
        """For `session.json`."""
        devices = {}
        if self.camera is not None:
            devices["camera"] = f"{without_password(str(self._asked[0]))}: {self.camera.given}"
        if self.microphone is not None:
            devices["microphone"] = f"{self.microphone.device}: {self.microphone.given}"
        for modality, stream in self.streams.items():
            devices[modality] = f"{self._addresses[modality]}: {stream.given}"
        schemas = {m.name: m.schema for m in metadata.inputs if m.role == "observed" and m.schema}
        return {
            "bundle": {"name": metadata.name, "version": metadata.version, "sha256": metadata.sha256},
            "rate": metadata.rate,
            "schemas": schemas,
            "context": self._loop_options["context"] or {},
            "devices": devices,
            "media": MEDIA if self._keep_media else None,
            "clock": "nanoseconds since the first tick, monotonic",
        }
