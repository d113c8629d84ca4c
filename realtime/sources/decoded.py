"""What FFmpeg's decoders give, as upright RGB pictures and mono sound."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.codec import Codec
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from .limits import LIMITS, Limits
from .upright import matrix_of, upright

# The default conversion differs by up to 2 of 255 in most pixels between x86 and ARM. This one takes 0.3 ms
# more for 640×480, and is the same on every machine.
_EXACT: Final = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
MAX_ASPECT: Final = 8
_MAX_PIXELS: Final = LIMITS.max_pixels

# For JPEG: an error where a picture ends early or cannot be decoded. Otherwise FFmpeg gives
# the rest in grey. A missing end marker, or bytes too many, are no errors.
WHOLE: Final = {"err_detect": "explode"}


def image_of(frame: VideoFrame, aspect: Fraction | None = None, jpeg: bytes = b"") -> NDArray[np.uint8]:
    """RGB, upright, with square pixels, C-contiguous.

    Args:
        aspect: a pixel's width by its height; None or an impossible value for square ones. The shorter side
            of the pixels is stretched, so that no detail is lost.
        jpeg: what the frame was decoded from, if it was one: it may say which way is up.
    """
    width, height = frame.width, frame.height
    if aspect is not None and aspect > 0 and max(aspect, 1 / aspect) <= MAX_ASPECT:
        stretch = float(aspect)
        width, height = round(width * max(stretch, 1.0)), round(height / min(stretch, 1.0))
        if (
            smaller := math.sqrt(_MAX_PIXELS / (width * height))
        ) < 1 and width * height > frame.width * frame.height:
            width, height = max(1, round(width * smaller)), max(1, round(height * smaller))
    # One thread: by default there is one a core, and on a busy machine they wait for each other.
    image: NDArray[np.uint8] = frame.to_ndarray(  # type: ignore[assignment]
        format="rgb24", width=width, height=height, threads=1, interpolation=_EXACT
    )
    # Of some widths the rows come padded, and turned pictures are views.
    return np.ascontiguousarray(upright(image, matrix_of(frame, jpeg)))


def pictures_beyond(limits: Limits, pictures: VideoCodecContext | VideoFrame, codec: Codec) -> Iterator[str]:
    """A line if the pictures that a decoder now makes, or one that it has made, are too large."""
    bits = 0 if codec.intra_only or pictures.format is None else pictures.format.padded_bits_per_pixel
    return limits.of_picture(pictures.width, pictures.height, bits)


def decode_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """uint8 `[height, width, 3]`, RGB, as a recording of it would be decoded; None where it is no JPEG, or
    one that was cut off or is damaged: part of a picture is no picture of the face."""
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    decoder.options = WHOLE | {"max_pixels": str(_MAX_PIXELS)}
    try:
        frames = decoder.decode(av.Packet(data.rstrip(b"\0")))  # padding would continue the picture
    except av.error.FFmpegError:
        return None
    return image_of(frames[0], jpeg=data) if frames else None


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
