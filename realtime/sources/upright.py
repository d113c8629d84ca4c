"""Which way a picture is to be shown, and the picture turned so."""

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

# By EXIF's orientation (CIPA DC-008, tag 0x0112): the first two rows and columns of the display matrix.
_EXIF = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def upright(image: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The picture as it is to be shown; a view.

    Args:
        image: `[height, width, 3]`, as coded.
        matrix: (a, b, c, d) of the display matrix of ISO/IEC 14496-12, 8.3.2: (x, y) of the coded picture, y
            down, are shown at (a x + c y, b x + d y). Other turns than quarters become the nearest quarter.
    """
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        image = image.transpose(1, 0, 2)
        across, down = c, b
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def matrix_of(frame: VideoFrame, jpeg: bytes = b"") -> tuple[int, int, int, int]:
    """The display matrix of a picture; `jpeg`: what it was decoded from, if it was one."""
    try:
        # `frame.side_data` would keep this object and be kept by it: pictures would wait for the next garbage
        # collection, some hundred at a time.
        matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # the stub has none
    except (
        ValueError
    ):  # PyAV does not know the type of some other side data, such as EXIF, and then gives none
        turned = round(frame.rotation / 90) % 4  # anticlockwise; mirroring is unknown
        return _EXIF[exif_orientation(jpeg) or (1, 8, 3, 6)[turned]]
    if matrix is None:
        return _EXIF[1]
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    return a, b, c, d


def exif_orientation(jpeg: bytes) -> int | None:
    """1 to 8; None where there is no EXIF, or none that says it."""
    tiff = jpeg[: 1 << 16].partition(b"Exif\0\0")[2]
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)  # type: ignore[arg-type]

    if order is not None:
        first = number(4, 4)
        for entry in range(first + 2, first + 2 + 12 * number(first, 2), 12):
            if number(entry, 2) == 0x0112:
                orientation = number(entry + 8, 2)
                return orientation if orientation in _EXIF else None
    return None
