"""What FFmpeg's decoders give, as upright RGB pictures and mono sound."""

from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

MAX_ASPECT: Final = 8

# For JPEG: an error where a picture ends early or cannot be decoded. Otherwise FFmpeg gives
# the rest in grey. A missing end marker, or bytes too many, are no errors.
WHOLE: Final = {"err_detect": "explode"}


def image_of(frame: VideoFrame, aspect: Fraction | None = None) -> NDArray[np.uint8]:
    """RGB, upright, with square pixels, C-contiguous.

    Args:
        aspect: a pixel's width by its height; None or an impossible value for square ones. The shorter side
            of the pixels is stretched, so that no detail is lost.
    """
    width, height = frame.width, frame.height
    if aspect is not None and aspect > 0 and max(aspect, 1 / aspect) <= MAX_ASPECT:
        stretch = float(aspect)
        width, height = round(width * max(stretch, 1.0)), round(height / min(stretch, 1.0))
    # One thread: by default there is one a core, and on a busy machine they wait for each other.
    image: NDArray[np.uint8] = frame.to_ndarray(  # type: ignore[assignment]
        format="rgb24", width=width, height=height, threads=1
    )
    if (matrix := _display_matrix(frame)) is not None:
        image = upright(image, matrix)
    # Of some widths the rows come padded, and turned pictures are views.
    return np.ascontiguousarray(image)


def _display_matrix(frame: VideoFrame) -> NDArray[np.int32] | None:
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except (
        ValueError
    ):  # PyAV does not know the type of some other side data, such as EXIF, and then gives none
        turned = round(frame.rotation / 90) % 4  # anticlockwise; mirroring is unknown
        across, down = ((1, 0), (0, -1), (-1, 0), (0, 1))[turned]
        return np.array([across, down, 0, -down, across, 0, 0, 0, 1], np.int32)
    return None if matrix is None else np.frombuffer(matrix, np.int32)  # type: ignore[call-overload]


def decode_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """uint8 `[height, width, 3]`, RGB, as a recording of it would be decoded; None where it is no JPEG, or
    one that was cut off or is damaged: part of a picture is no picture of the face."""
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    decoder.options = WHOLE
    try:
        frames = decoder.decode(av.Packet(data.rstrip(b"\0")))  # padding would continue the picture
    except av.error.FFmpegError:
        return None
    return image_of(frames[0]) if frames else None


def upright(image: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The picture as it is to be shown; a view.

    Args:
        image: `[height, width, 3]`, as coded.
        matrix: `[9]`, the display matrix of ISO/IEC 14496-12, 8.3.2: (x, y) of the coded picture, y down, are
            shown at (a x + c y, b x + d y), with (a, b, _, c, d, …) the matrix. Turns by other than quarters
            become the nearest quarter.
    """
    a, b, _, c, d = matrix[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        image = image.transpose(1, 0, 2)
        across, down = c, b
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def channels_of(frame: AudioFrame) -> NDArray[np.float64]:
    """`[n, channels]`, full scale ±1."""
    samples: NDArray[Any] = frame.to_ndarray()  # planar [channels, n], packed [1, n · channels]
    if frame.format.is_packed:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    values: NDArray[np.float64] = samples.T.astype(np.float64)
    if samples.dtype == np.uint8:
        values = values / 128 - 1
    elif samples.dtype.kind == "i":
        values /= 2.0 ** (8 * samples.itemsize - 1)
    return values
