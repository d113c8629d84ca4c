"""How face features change when the picture of the face gets worse: what `features/face/quality` is based on.

    python benchmarks/face_quality.py [CLIP …] [--face-model FILE] [--pictures N]

Each clip's pictures are made smaller, blurred, darker, cut at an edge, and compared with the good ones:
change of the blendshapes (0..1) on average and of the one that changes most, of the angles, and the share of
pictures in which the face is still found. For turned heads the face of the first picture is rendered on its
own mesh at known angles, without the rest of the head: there the errors of the angles are absolute.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from enrapt.bundle.protobuf import integers, nested
from enrapt.cli.demo import CLIP
from enrapt.contracts.schemas import BLENDSHAPES, FACE
from enrapt.realtime.features.face import quality
from enrapt.realtime.features.face.extractor import FaceFeatures
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.features.face.networks import Networks
from enrapt.realtime.features.face.pose import POINTS, Pose
from enrapt.realtime.features.face.tracker import Tracker
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import SECOND, Frame

FRAME = SECOND // 25
SHAPES = len(BLENDSHAPES)
ANGLES = slice(FACE.index("yaw"), FACE.index("roll") + 1)
Picture = NDArray[np.uint8]


class Seen(NamedTuple):
    values: NDArray[np.float32]
    landmarks: NDArray[np.float32]


def analyse(model: Path, pictures: list[Picture]) -> list[Seen | None]:
    """Features of every picture, whatever the quality."""
    features, seen = FaceFeatures(model), []
    for i, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        features.extract(picture, i * FRAME)
        faces = features._tracker.faces
        found = Seen(features._features(faces[0], width, height), faces[0].landmarks) if faces else None
        seen.append(found)
    return seen


def compare(good: list[Seen | None], bad: list[Seen | None]) -> str:
    pairs = [(a.values, b.values) for a, b in zip(good, bad, strict=True) if a and b]
    found = sum(b is not None for b in bad) / sum(a is not None for a in good)
    if not pairs:
        return f"found {found:4.0%}"
    change = np.abs(np.array([b - a for a, b in pairs]))
    shapes, angles = change[:, :SHAPES], np.degrees(change[:, ANGLES]).mean()
    most = shapes.max(1).mean()
    return f"mean {shapes.mean():.3f}, most {most:.2f}, angles {angles:4.1f}°, found {found:4.0%}"


def smaller(picture: Picture, size: float) -> Picture:
    return cv2.resize(picture, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)


def blurred(picture: Picture, pixels: float) -> Picture:
    return cv2.GaussianBlur(picture, (0, 0), pixels)


def darker(picture: Picture, gain: float) -> Picture:
    """With a sensor's noise."""
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(picture * gain + noise, 0, 255).astype(np.uint8)


def cut(picture: Picture, left: float, bottom: float) -> Picture:
    return np.ascontiguousarray(picture[: int(bottom), int(left) :])


def worse(pictures: list[Picture], good: list[Seen | None]) -> Iterator[tuple[str, list[Picture]]]:
    """The pictures made worse, by what was done to them."""
    boxes = np.array([[*s.landmarks[:, :2].min(0), *s.landmarks[:, :2].max(0)] for s in good if s])
    left, top, right, bottom = np.median(boxes, axis=0)
    face = right - left
    brightness = np.mean([p[int(top) : int(bottom), int(left) : int(right)].mean() for p in pictures])
    changes: dict[str, Callable[[Picture], Picture]] = {
        f"{width} pixels wide": partial(smaller, size=width / face)
        for width in (96, 80, 64, 48, 40, 32, 24, 20, 16)
        if width < face
    }
    for percent in (1, 2, 3, 4, 6):
        changes[f"blurred by {percent} % of its width"] = partial(blurred, pixels=percent / 100 * face)
    for mean in (60, 40, 20, 12, 8, 4):
        changes[f"brightness {mean}"] = partial(darker, gain=mean / brightness)
    for share in (0.1, 0.2, 0.3, 0.4, 0.5):
        height = pictures[0].shape[0]
        changes[f"{share:.0%} beyond the left edge"] = partial(cut, left=left + share * face, bottom=height)
        below = bottom - share * (bottom - top)
        changes[f"{share:.0%} below the lower edge"] = partial(cut, left=0, bottom=below)
    for what, change in changes.items():
        yield what, [change(picture) for picture in pictures]


class Rendered:
    """The face of a picture on its own mesh, at any angle."""

    def __init__(self, model: Path, picture: Picture) -> None:
        networks = Networks(model)
        (mesh,) = nested(memoryview(networks.geometry), 1)
        self._triangles = np.array(integers(mesh, 4)).reshape(-1, 3)
        self._picture = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        self._height, self._width = self._picture.shape[:2]
        (face, *_) = Tracker(networks).track(self._picture, 1)
        pose = Pose(networks.geometry)
        rotation, self._position = pose(face.landmarks, self._width, self._height)
        self._source = face.landmarks[:POINTS, :2].astype(np.float32)
        scale = np.linalg.norm(rotation[:, 0])
        points = pose.metric(face.landmarks, self._width, self._height)
        self._shape = (points - self._position) @ (rotation / scale)

    def at(self, yaw: float, pitch: float) -> Picture:
        """Degrees."""
        y, p = math.radians(yaw), math.radians(pitch)
        turn = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
        nod = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
        points = self._shape @ (turn @ nod).T + self._position
        pixel = 2 * math.tan(math.radians(63) / 2) / self._height
        x = points[:, 0] / -points[:, 2] / pixel + self._width / 2
        y_ = -points[:, 1] / -points[:, 2] / pixel + self._height / 2
        target = np.column_stack([x, y_]).astype(np.float32)
        image = np.full_like(self._picture, 128)
        far_to_near = np.argsort(points[self._triangles, 2].mean(1))
        for triangle in self._triangles[far_to_near]:
            self._draw(image, self._source[triangle], target[triangle])
        return image

    def _draw(self, image: Picture, source: NDArray[np.float32], target: NDArray[np.float32]) -> None:
        if _turn(source) * _turn(target) <= 0:  # seen from behind
            return
        corner = np.maximum(np.floor(target.min(0)).astype(int) - 1, 0)
        end = np.minimum(np.ceil(target.max(0)).astype(int) + 2, (self._width, self._height))
        if (end <= corner).any():
            return
        size = tuple((end - corner).tolist())
        inside = target - corner.astype(np.float32)
        matrix = cv2.getAffineTransform(source, inside)
        patch = cv2.warpAffine(self._picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.round(inside * 16).astype(np.int32), 1, shift=4)
        part = image[corner[1] : end[1], corner[0] : end[0]]
        part[mask > 0] = patch[mask > 0]


def _turn(triangle: NDArray[np.float32]) -> float:
    a, b, c = triangle
    return float((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]))


def turned(model: Path, picture: Picture) -> Iterator[str]:
    rendered = Rendered(model, picture)
    straight = analyse(model, [rendered.at(0, 0)] * 5)[-1]
    assert straight is not None
    angles = [(yaw, 0) for yaw in range(0, 71, 10)] + [(0, pitch) for pitch in (-40, -30, -20, 20, 30, 40)]
    for yaw, pitch in angles:
        seen = analyse(model, [rendered.at(yaw, pitch)] * 5)[-1]
        if seen is None:
            yield f"yaw {yaw:3d}°, pitch {pitch:3d}°: not found"
            continue
        found = np.degrees(seen.values[ANGLES])
        shapes = np.abs(seen.values - straight.values)[:SHAPES]
        yield (
            f"yaw {yaw:3d}°, pitch {pitch:3d}°: measured {found[0]:5.1f}°, {found[1]:5.1f}°, "
            f"mean {shapes.mean():.3f}, most {shapes.max():.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clips", type=Path, nargs="*", default=[CLIP])
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("--pictures", type=int, default=50)
    args = parser.parse_args()
    model = find_face_model(args.face_model)
    limits = ("WIDTH", "SHARPNESS", "BRIGHTNESS", "OUTSIDE", "YAW", "PITCH")
    print("good, useless:", ", ".join(f"{name} {getattr(quality, name)}" for name in limits))
    for clip in args.clips:
        pictures = [item.image for item in Recording(clip, 1.0) if isinstance(item, Frame)][: args.pictures]
        good = analyse(model, pictures)
        print(f"{clip.name}: {len(pictures)} pictures, in {sum(s is not None for s in good)} a face")
        for what, bad in worse(pictures, good):
            print(f"  {what:<28} {compare(good, analyse(model, bad))}")
        for line in turned(model, pictures[0]):
            print(f"  {line}")


if __name__ == "__main__":
    main()
