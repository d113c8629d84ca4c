"""Follows the faces in a stream of pictures, each with an id that survives a short occlusion.

A face that was found is looked for around its own landmarks, as MediaPipe's FaceLandmarker does; the detector
runs only after a loss, and twice a second to notice newcomers.

An id is given back only on evidence: a face that appears is compared with those that are absent, by place,
size and shape. One that fits none gets a new id: the absent person stays absent rather than becoming another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...streams.samples import SECOND
from .detector import detect
from .identity import Shape
from .networks import CROP, Networks
from .region import EXPANSION, Region
from .smoothing import OneEuro

MOST: Final = 8  # faces tracked at once
MIN_PRESENCE: Final = 0.5
LOOK_EVERY: Final = SECOND // 2  # ns between searches for newcomers
SEARCH: Final = 2 * SECOND  # ns after a loss in which every picture is searched
REMEMBERED: Final = 60 * SECOND  # ns; an absent face is forgotten after this
# Pictures of a face before its shape alone can say whose it is, and that it is nobody's. While it appears
# from behind something its shape is wrong, so only the last pictures count.
ENOUGH, CERTAIN, RECENT, KNOWN = 3, 25, 8, 250

# Largest difference of shapes that counts as the same person, and how soon a face is back where it was.
IN_PLACE, BRIEF = 0.04, 2 * SECOND
ELSEWHERE: Final = 0.016
WELL_KNOWN: Final = 12  # pictures; while a face enters the view, its shape is wrong
OTHER: Final = 0.022  # in one picture; the 95th percentile of the same person

# Shares of a face's width.
JUMP: Final = 0.5  # from where it was expected; a face that is farther is not taken for the same
# Correlation of a face with itself in the next picture; on real clips 0.82 (1st percentile, the same person),
# 0.74 (99th percentile, two people): less is a cut to another one.
ALIKE: Final = 0.78
GREY: Final = 128  # pixels of the region, 85 of the face
_FACE: Final = slice(5, 27)  # of 32, the face within its region
COINCIDE: Final = 0.2  # between the landmarks of two faces, on average; nearer ones are of one face


class _Found(NamedTuple):
    """A face in a region of a picture.

    Attributes:
        shape: `[478, 3]`, pixels, all axes on one scale.
        landmarks: the same with MediaPipe's depth.
        jump: from where it was expected, in its widths.
        grey: uint8 `[128, 128]`, of the region in which it was found.
        pattern: float32, of its grey values, of mean 0 and length 1: the product of two is their correlation.
        likeness: correlation with the face before; 1 where that is not comparable.
    """

    shape: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    presence: float
    region: Region
    jump: float
    grey: NDArray[np.uint8]
    pattern: NDArray[np.float32]
    likeness: float


@dataclass(slots=True, eq=False)
class Face:
    """A face that is tracked.

    Attributes:
        id: counts from 1 in the order of appearance; 0 while it may be one of those that are absent.
        region: where to look for it in the next picture.
        seen: ns; time of the last picture that it was found in.
        landmarks: float32 `[478, 3]`, smoothed; pixels of that picture.
        presence: 0..1, that there is a face.
        grey: uint8 `[128, 128]`, of the region in which it was found, the face in the middle.
        pattern: see `_Found`.
        cut: whether it ended by a picture of somebody else at its place.
    """

    id: int
    region: Region
    seen: int
    landmarks: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    presence: float = 0.0
    grey: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    pattern: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    shape: Shape = field(default_factory=lambda: Shape(RECENT))
    smoothing: OneEuro = field(default_factory=OneEuro)
    speed: tuple[float, float] = (0.0, 0.0)  # pixels a second
    pictures: int = 0  # in a row in which it was found
    cut: bool = False

    @property
    def width(self) -> float:
        """Pixels, about."""
        return self.region.width / EXPANSION

    def jump(self, region: Region, time: int) -> float:
        """How far the centre of a region is from where this face was, or would be at that time (ns) if it
        kept its speed for up to half a second, in widths of the face."""
        ahead = min(time - self.seen, SECOND // 2) / SECOND
        x, y = region.x - self.region.x, region.y - self.region.y
        moved = math.hypot(x - self.speed[0] * ahead, y - self.speed[1] * ahead)
        return min(math.hypot(x, y), moved) / self.width

    def differs(self, shape: NDArray[np.float32]) -> bool:
        """Whether the shape in one picture is rather another person's, where its own is known well."""
        if self.shape.n < WELL_KNOWN:
            return False
        now = Shape(RECENT)
        now.add(shape)
        return self.shape.difference(now) > OTHER

    def update(self, found: _Found, time: int) -> None:
        if self.landmarks.size:
            interval = (time - self.seen) / SECOND
            x, y = (found.region.x - self.region.x) / interval, (found.region.y - self.region.y) / interval
            self.speed = (self.speed[0] + x) / 2, (self.speed[1] + y) / 2
        self.region, self.presence, self.seen = found.region, found.presence, time
        self.grey, self.pattern = found.grey, found.pattern
        self.pictures += 1
        self.shape.add(found.shape)
        self.landmarks = self.smoothing(found.landmarks, time)


class Tracker:
    """Tracks faces in a stream of pictures; each stream needs its own.

    Args:
        networks: of the face model.
        most: faces tracked at once.

    Attributes:
        faces: those in the last picture, in the order of their appearance.
    """

    def __init__(self, networks: Networks, most: int = MOST) -> None:
        self._networks, self._most = networks, most
        self.faces: list[Face] = []
        self._absent: list[Face] = []
        self._ids = 0
        self._look_at = -1 << 62  # ns

    def track(self, picture: NDArray[np.uint8], time: int) -> Sequence[Face]:
        """The faces in the next picture.

        Args:
            picture: uint8 `[height, width, 3]`, RGB.
            time: ns; later than that of the picture before.
        """
        found = {}
        for face in self.faces:
            one = self._find(face, picture, time)
            if one is not None:
                face.cut = one.likeness < ALIKE and face.differs(one.shape)
                if one.jump < JUMP and not face.cut:
                    found[face] = one
        # Two regions may lead to one face, where a person passes in front of another.
        kept: dict[Face, _Found] = {}
        for face, one in sorted(found.items(), key=lambda item: item[1].jump):
            if not any(_coincide(one, other) for other in kept.values()):
                kept[face] = one
                face.update(one, time)
        self._absent = [face for face in self._absent if time - face.seen < REMEMBERED]
        self._absent += [face for face in self.faces if face not in kept and face.id]
        self.faces = [face for face in self.faces if face in kept]
        for face in self.faces:
            if not face.id:
                self._identify(face, time)
        if self._due(time):
            self._look_at = time + LOOK_EVERY
            self._search(picture, time)
        return self.faces

    def _due(self, time: int) -> bool:
        """Whether to search the picture for faces that are not tracked."""
        if len(self.faces) >= self._most:
            return False
        lost = any(time - face.seen < SEARCH for face in self._absent)
        return not self.faces or lost or time >= self._look_at

    def _find(self, face: Face, picture: NDArray[np.uint8], time: int) -> _Found | None:
        """The face in the region of one that was there."""
        region, (height, width) = face.region, picture.shape[:2]
        crop = region.crop(picture, CROP, cv2.BORDER_REPLICATE)
        shares, logit = self._networks.landmarks(crop)
        presence = 1 / (1 + math.exp(-min(max(logit, -80.0), 80.0)))
        if presence < MIN_PRESENCE:
            return None
        axes = region.axes()
        shape = np.empty_like(shares)
        np.matmul(shares[:, :2], axes[:, :2].T, out=shape[:, :2])
        shape[:, :2] += axes[:, 2]
        shape[:, 2] = shares[:, 2] * np.float32(region.width)
        # MediaPipe scales depths by the region's width along its turned axis, as a share of the picture's
        # width: in pictures that are not square, tilted faces become deeper. `face/1` is defined by that.
        landmarks = shape.copy()
        landmarks[:, 2] *= np.float32(
            math.hypot(math.cos(region.angle), math.sin(region.angle) * width / height)
        )
        now = Region.around(shape)
        jump = face.jump(now, time) if face.landmarks.size else 0.0
        # The region of the first picture is the detector's, of another size.
        grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (GREY, GREY), interpolation=cv2.INTER_AREA)
        pattern = _pattern(grey)
        likeness = float(pattern @ face.pattern) if face.pictures > 1 else 1.0
        return _Found(shape, landmarks, presence, now, jump, grey, pattern, likeness)

    def _search(self, picture: NDArray[np.uint8], time: int) -> None:
        """Begin to track the faces that are not tracked yet."""
        for detection in detect(self._networks.detector, picture):
            centre = detection.region.x, detection.region.y
            if len(self.faces) >= self._most:
                return
            if any(math.dist(centre, (f.region.x, f.region.y)) < f.width / 2 for f in self.faces):
                continue
            face = Face(0, detection.region, time)
            found = self._find(face, picture, time)
            if found is None or any(_same_place(found.region, one.region) for one in self.faces):
                continue
            face.update(found, time)
            self._identify(face, time)
            self.faces.append(face)

    def _identify(self, face: Face, time: int) -> None:
        """Give a face the id of the absent one that it is, or a new one once it is clear that it is none."""
        limit = {one: self._largest_difference(one, face, time) for one in self._absent}
        differences = {one: one.shape.difference(face.shape) for one in self._absent}
        same = min(
            (one for one in self._absent if differences[one] < limit[one]),
            key=differences.__getitem__,
            default=None,
        )
        if same is not None:
            self._absent.remove(same)
            face.id, face.shape = same.id, same.shape
        elif face.shape.n >= CERTAIN or not self._absent:
            self._ids += 1
            face.id, face.shape.memory = self._ids, KNOWN

    @staticmethod
    def _largest_difference(absent: Face, face: Face, time: int) -> float:
        """Up to which difference of their shapes a face that appeared is taken for an absent one."""
        in_place = time - absent.seen < BRIEF and absent.jump(face.region, time) < JUMP
        if in_place and not absent.cut:
            return IN_PLACE
        return ELSEWHERE if face.shape.n >= ENOUGH else 0.0


def _pattern(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    face: NDArray[np.float32] = small[_FACE, _FACE].astype(np.float32).ravel()
    face -= face.mean()
    face /= math.sqrt(float(face @ face)) + 1e-3
    return face


def _coincide(one: _Found, other: _Found) -> bool:
    distance = float(np.abs(one.shape[:, :2] - other.shape[:, :2]).mean())
    return distance < COINCIDE * min(one.region.width, other.region.width) / EXPANSION


def _same_place(one: Region, other: Region) -> bool:
    return math.dist((one.x, one.y), (other.x, other.y)) < min(one.width, other.width) / EXPANSION / 2
