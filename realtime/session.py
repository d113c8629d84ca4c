"""A live session: opens a camera and a microphone, and gives an estimate a tick.

    with LiveSession(camera=0, mic="default") as session:
        for estimate in session:
            print(estimate.engagement.mean)

Nothing leaves the machine but estimates, to the outputs of `to`. `record` keeps features and estimates;
pictures and sound are kept only with `keep_media`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..contracts.errors import UserError
from .features.face import FOLLOW_LARGEST, FaceOptions
from .page.observed import Landmarks
from .run import Run
from .sources.camera_face import CameraFace
from .sources.device import Device
from .sources.live import LiveSource
from .sources.microphone import MicrophoneAudio
from .streams.pacing import LONGEST_WAIT, MAX_WAIT
from .streams.samples import SECOND


class LiveSession(Run):
    """A `Run` of a camera, a microphone and streams.

    Estimates come at the bundle's rate, in order. A device that is lost is missing until it returns. A device
    is opened only if the bundle takes its features.

    Args:
        camera: index, /dev path, RTSP or HTTP-MJPEG address; None for none.
        mic: its name or a part of it; `default` for the system's; None for none.
        partner_mic: of whoever the person talks with, for bundles that take whether they speak.
        streams: by the bundle's modality, `lsl:NAME`: features, or sound, from a Lab Streaming Layer stream;
            `osc://HOST:PORT/PATH` or `ws://HOST:PORT/PATH`: numbers from another program; instead of the
            device that would give that modality.
        devices: more devices, such as `Pushed` features.
        camera_size: pixels, width and height to ask for.
        camera_rate: frames a second to ask for.
        face_every: look for the face in every n-th picture.
        audio_channel: of the microphone, the only one to take, from 1; None for a mix of all.
        max_wait: seconds; longest wait for late data before an estimate is emitted.
        faces: how to extract their features, and whom to follow.
        preview: show the face's landmarks on the page; never the picture.
        run: `bundle`, `to`, `record`, `keep_media`, `clock`, `context`, `offsets`, `overwrite`, `warn`: see
            `Run`.

    Attributes:
        camera, microphone: the devices, None where there is none.
    """

    def __init__(
        self,
        camera: int | str | None = 0,
        mic: str | None = "default",
        *,
        streams: Mapping[str, str] | None = None,
        devices: Sequence[Device] = (),
        partner_mic: str | None = None,
        camera_size: tuple[int, int] = (640, 480),
        camera_rate: int = 30,
        face_every: int = 1,
        audio_channel: int | None = None,
        max_wait: float = MAX_WAIT / SECOND,
        faces: FaceOptions = FOLLOW_LARGEST,
        preview: bool = False,
        **run: Any,
    ) -> None:
        if face_every < 1 or camera_rate < 1 or not 0 <= max_wait <= LONGEST_WAIT / SECOND:
            raise UserError("face_every and camera_rate must be at least 1, max_wait from 0 to 10 s")
        self.camera = self.microphone = None
        if camera is not None:
            self.camera = CameraFace(
                camera,
                size=camera_size,
                rate=camera_rate,
                face_every=face_every,
                faces=faces,
                preview=preview,
            )
        if mic is not None:
            self.microphone = MicrophoneAudio(None if mic == "default" else mic, audio_channel)
        partner = None if partner_mic is None else MicrophoneAudio(partner_mic, partner=True)
        named = [stream_of(address, modality) for modality, address in (streams or {}).items()]
        given = [*named, *devices, self.camera, self.microphone, partner]
        super().__init__(LiveSource([d for d in given if d is not None], max_wait), **run)

    def landmarks(self) -> Landmarks | None:
        if self.camera is None or not self.camera.preview:
            return None
        width, height = self.camera.size
        aspect = width / height if height else 4 / 3
        return self.camera.landmarks, self.camera.others, aspect


def stream_of(address: str, modality: str) -> Device:
    """The device of a stream's address; what it needs is imported only then.

    Raises:
        UserError: an address of another form, or a package is not installed.
    """
    if address.startswith("osc:"):
        from .sources.osc import OscStream

        return OscStream(address, modality)
    if address.startswith(("ws:", "wss:")):
        from .sources.web_socket import WebSocketStream

        return WebSocketStream(address, modality)
    from .sources.lsl import LslStream

    return LslStream(address, modality)
