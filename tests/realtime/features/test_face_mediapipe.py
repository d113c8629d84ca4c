import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from enrapt.cli.demo import CLIP
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import BLENDSHAPES, FACE
from enrapt.realtime.features.face import (
    FaceFeatures,
    LandmarkerClock,
    _mediapipe_muted,
    blendshape_order,
    yaw_pitch_roll,
)

Picture = NDArray[np.uint8]
FRAME = 40_000_000  # ns, at 25 frames/s


@pytest.fixture(scope="module")
def model(shared: Path) -> Path:
    return shared / "face_model" / "face_landmarker.task"


@pytest.fixture(scope="module")
def portrait(shared: Path) -> Picture:
    return next(pictures(shared / "clips" / "pyfeat_single_face.mp4"))


def pictures(clip: Path) -> Iterator[Picture]:
    with av.open(clip) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def once(model: Path, picture: Picture) -> dict[str, float]:
    """Features of a stream of one picture, without smoothing."""
    with FaceFeatures(model) as features:
        values = features.extract(picture, 0)
    assert values is not None
    return dict(zip(FACE.features, values.tolist(), strict=True))


def moved(
    picture: Picture, degrees: float = 0.0, zoom: float = 1.0, right: int = 0, down: int = 0
) -> Picture:
    """The picture rotated counter-clockwise about its centre, scaled, then moved by pixels."""
    height, width = picture.shape[:2]
    transform = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    transform[:, 2] += right, down
    turned = cv2.warpAffine(picture, transform, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, dtype=np.uint8)


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


turn = st.floats(-np.pi, np.pi)
nod = st.floats(-1.57, 1.57)


@given(turn, nod, turn, st.floats(0.1, 10))
def test_angles_reproduce_their_rotation(yaw: float, pitch: float, roll: float, scale: float) -> None:
    angles = yaw_pitch_roll(scale * rotation(yaw, pitch, roll))
    np.testing.assert_allclose(rotation(*angles), rotation(yaw, pitch, roll), atol=1e-9)
    assert angles[1] == pytest.approx(pitch, abs=1e-9)


@given(nod, nod, nod)
def test_angles_of_a_head_that_faces_the_camera_are_exact(yaw: float, pitch: float, roll: float) -> None:
    assert yaw_pitch_roll(rotation(yaw, pitch, roll)) == pytest.approx((yaw, pitch, roll), abs=1e-9)


def test_the_signs_of_the_angles_are_those_of_the_schema() -> None:
    nose = np.array([0, 0, 1.0])
    assert (rotation(0.3, 0, 0) @ nose)[0] > 0  # to the right of the picture
    assert (rotation(0, 0.3, 0) @ nose)[1] < 0  # lower
    top = np.array([0, 1.0, 0])
    assert (rotation(0, 0, 0.3) @ top)[0] < 0  # counter-clockwise
    assert yaw_pitch_roll(np.eye(3)) == (0, 0, 0)


@given(st.permutations(["_neutral", *BLENDSHAPES]))
def test_blendshapes_are_found_by_name(names: list[str]) -> None:
    assert tuple(names[i] for i in blendshape_order(names)) == BLENDSHAPES


@pytest.mark.parametrize(
    "names", [list(BLENDSHAPES), ["_neutral", *BLENDSHAPES[:-1], "tongueOut"], ["_neutral", *BLENDSHAPES] * 2]
)
def test_other_blendshapes_are_an_error(names: list[str]) -> None:
    with pytest.raises(UserError, match="blendshapes"):
        blendshape_order(names)


@given(st.lists(st.integers(-(2**70), 2**70)))
def test_the_landmarker_clock_always_advances(times: list[int]) -> None:
    clock = LandmarkerClock()
    readings = [0, *(clock(time) for time in times)]
    assert all(0 < later - earlier <= 3_600_000 for earlier, later in pairwise(readings))


@given(st.integers(-(2**62), 2**62), st.lists(st.integers(1, 1000), min_size=1))
def test_the_landmarker_clock_keeps_intervals_from_any_start(start: int, intervals: list[int]) -> None:
    clock = LandmarkerClock()
    times = start + 1_000_000 * np.cumsum([0, *intervals], dtype=object)
    assert np.diff([clock(time) for time in times]).tolist() == intervals


def test_the_landmarker_clock_advances_by_1_ms_where_times_do_not() -> None:
    clock = LandmarkerClock()
    milliseconds = 5, 5, 4, 44, 84  # at the third the camera's clock is set back
    assert [clock(ms * 1_000_000) for ms in milliseconds] == [1, 2, 3, 43, 83]


def test_the_landmarker_clock_at_120_frames_a_second() -> None:
    clock = LandmarkerClock()
    readings = [clock(k * 10**9 // 120) for k in range(1200)]
    assert set(np.diff(readings)) == {8, 9}
    assert readings[-1] == 1 + 9991


def test_features_are_a_vector_of_the_schema(model: Path, portrait: Picture) -> None:
    with FaceFeatures(model) as features:
        values = features.extract(portrait, 0)
    assert values is not None
    assert values.shape == (FACE.dim,)
    assert values.dtype == np.float32
    assert ((values[:51] >= 0) & (values[:51] <= 1)).all()


def test_a_mirrored_picture_inverts_yaw_and_roll(model: Path, portrait: Picture) -> None:
    turned = moved(portrait, degrees=12)
    plain, mirrored = once(model, turned), once(model, turned[:, ::-1])
    assert abs(plain["roll"]) > 0.15
    for feature in ("yaw", "roll"):
        assert mirrored[feature] == pytest.approx(-plain[feature], abs=0.02)
    assert mirrored["pitch"] == pytest.approx(plain["pitch"], abs=0.02)
    assert mirrored["x"] == pytest.approx(-plain["x"], abs=0.2)


@pytest.mark.parametrize("degrees", [-25, -10, 10, 25])
def test_roll_is_counter_clockwise_in_the_picture(model: Path, portrait: Picture, degrees: int) -> None:
    rolled = once(model, moved(portrait, degrees))["roll"] - once(model, portrait)["roll"]
    assert rolled == pytest.approx(np.radians(degrees), abs=0.03)


def test_x_is_to_the_right_and_y_is_up_in_centimetres(model: Path, portrait: Picture) -> None:
    here, there = once(model, portrait), once(model, moved(portrait, right=40, down=-30))
    # Pinhole camera with a vertical field of view of 63°: cm per pixel at the distance of the face's surface,
    # about 3 cm in front of its origin.
    pixel = -(here["z"] + 3) * 2 * np.tan(np.radians(63 / 2)) / portrait.shape[0]
    assert there["x"] - here["x"] == pytest.approx(40 * pixel, rel=0.05)
    assert there["y"] - here["y"] == pytest.approx(30 * pixel, rel=0.05)


@pytest.mark.parametrize("zoom", [0.7, 1.25])
def test_z_is_minus_the_distance(model: Path, portrait: Picture, zoom: float) -> None:
    near = once(model, moved(portrait, zoom=zoom))["z"]
    far = once(model, portrait)["z"]
    assert far < 0
    assert near == pytest.approx(far / zoom, rel=0.03)


def test_yaw_and_pitch_correlate_with_the_position_of_the_nose(
    model: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yaw and pitch against the geometry of the landmarks, on a head that turns and nods."""
    from mediapipe.tasks.python.vision.face_landmarker import FaceLandmarkerResult

    features, results = FaceFeatures(model), []
    convert = features._features

    def keep_and_convert(result: Any) -> Any:
        results.append(FaceLandmarkerResult.from_ctypes(result))
        return convert(result)

    monkeypatch.setattr(features, "_features", keep_and_convert)
    angles, noses = [], []
    with features:
        clip = pictures(shared / "clips" / "pyfeat_WolfgangLanger_Pexels.mp4")
        for k, picture in enumerate(clip):
            if k % 16:
                continue
            values = features.extract(picture, k * FRAME)
            assert values is not None
            # MediaPipe's face mesh: 1 tip of the nose, 234 and 454 cheeks, 10 forehead, 152 chin.
            points = {i: results[-1].face_landmarks[0][i] for i in (1, 234, 454, 10, 152)}
            angles.append((values[FACE.index("yaw")], values[FACE.index("pitch")]))
            right = points[1].x - (points[234].x + points[454].x) / 2
            down = points[1].y - (points[10].y + points[152].y) / 2
            noses.append((right / (points[454].x - points[234].x), down / (points[152].y - points[10].y)))
    correlation = np.corrcoef(np.array(angles).T, np.array(noses).T)
    assert correlation[0, 2] > 0.9
    assert correlation[1, 3] > 0.9


def test_features_equal_those_of_mediapipes_python_interface(model: Path, portrait: Picture) -> None:
    """`FaceFeatures` reads MediaPipe's result in memory, without Python objects."""
    import mediapipe
    from mediapipe.tasks.python.core.base_options import BaseOptions
    from mediapipe.tasks.python.vision.core.vision_task_running_mode import VisionTaskRunningMode
    from mediapipe.tasks.python.vision.face_landmarker import FaceLandmarker, FaceLandmarkerOptions

    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=VisionTaskRunningMode.VIDEO,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with FaceFeatures(model) as features, FaceLandmarker.create_from_options(options) as landmarker:
        for k in range(5):
            picture = np.ascontiguousarray(np.roll(portrait, 3 * k, axis=1))
            ours = features.extract(picture, k * FRAME)
            image = mediapipe.Image(mediapipe.ImageFormat.SRGB, picture)
            theirs = landmarker.detect_for_video(image, 1 + k * FRAME // 1_000_000)
            scores = {shape.category_name: shape.score for shape in theirs.face_blendshapes[0]}
            assert ours is not None
            assert np.array_equal(ours[:51], np.float32([scores[name] for name in BLENDSHAPES]))
            assert np.array_equal(ours[-3:], theirs.facial_transformation_matrixes[0][:3, 3])


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (480, 640)])
def test_no_face_is_none(model: Path, size: tuple[int, int]) -> None:
    with FaceFeatures(model) as features:
        assert features.extract(np.full((*size, 3), 127, np.uint8), 0) is None


def test_a_face_may_come_and_go_and_pictures_may_change_size(model: Path, portrait: Picture) -> None:
    black = np.zeros_like(portrait)
    stream = [portrait, black, portrait, portrait[:, 100:-100], portrait]
    with FaceFeatures(model) as features:
        found = [features.extract(picture, k * FRAME) is not None for k, picture in enumerate(stream)]
    assert found == [True, False, True, True, True]


def test_strides_do_not_matter(model: Path, portrait: Picture) -> None:
    wide = np.zeros((portrait.shape[0], portrait.shape[1] + 24, 3), np.uint8)
    wide[:, : portrait.shape[1]] = portrait
    padded = wide[:, : portrait.shape[1]]
    assert not padded.flags.c_contiguous
    assert once(model, padded) == once(model, portrait)


def test_any_times_are_accepted_and_their_origin_does_not_matter(model: Path, portrait: Picture) -> None:
    def stream(times: list[int]) -> list[bytes]:
        with FaceFeatures(model) as features:
            values = [features.extract(moved(portrait, right=i), t) for i, t in enumerate(times)]
        return [v.tobytes() for v in values if v is not None]

    assert len(stream([0, 0, -5, 10**9, 10**9 + 1, 2**70, 3, 10**9])) == 8
    regular = [k * FRAME for k in range(8)]
    assert stream(regular) == stream([t - 10**18 for t in regular]) == stream([t + 10**18 for t in regular])


def test_the_same_pictures_twice_give_the_same_bytes(model: Path, shared: Path) -> None:
    clip = list(pictures(shared / "clips" / "grid_sbia1a.mpg"))[:40]

    def extract() -> bytes:
        with FaceFeatures(model) as features:
            values = [features.extract(picture, k * FRAME) for k, picture in enumerate(clip)]
        return b"".join(b"none" if v is None else v.tobytes() for v in values)

    assert extract() == extract()


@pytest.mark.long
def test_real_speakers_have_a_face(model: Path, shared: Path) -> None:
    clips = sorted(shared.glob("clips/grid_*.mpg"))
    assert len(clips) == 7
    for clip in clips:
        with FaceFeatures(model) as features:
            found = [features.extract(p, k * FRAME) is not None for k, p in enumerate(pictures(clip))]
        assert np.mean(found) >= 0.95, clip.name


def test_extracting_after_close_is_an_error(model: Path, portrait: Picture) -> None:
    with FaceFeatures(model) as features:
        pass
    features.close()
    with pytest.raises(ValueError, match="close"):
        features.extract(portrait, 0)


def test_an_unreadable_model_is_a_user_error(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    broken = tmp_path / "broken.task"
    broken.write_bytes(b"not a model")
    for path in (broken, tmp_path / "missing.task"):
        with pytest.raises(UserError, match="enrapt doctor") as caught:
            FaceFeatures(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_without_mediapipe_the_error_has_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(UserError, match="microphone only"):
        FaceFeatures(tmp_path / "any.task")


SESSION = """
import os, sys
import numpy as np
from enrapt.realtime.features.face import FaceFeatures
from enrapt.realtime.streams.samples import Frame
assert "mediapipe" not in sys.modules and "torch" not in sys.modules
with FaceFeatures(sys.argv[1]) as features:
    features.extract(np.zeros((90, 120, 3), np.uint8), 0)
os.write(2, b"still open")
"""


def test_nothing_is_printed_and_mediapipe_is_imported_late(model: Path) -> None:
    session = subprocess.run([sys.executable, "-c", SESSION, model], capture_output=True, check=True)
    assert session.stdout == b""
    assert session.stderr == b"still open"


def test_other_lines_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with _mediapipe_muted():
        os.write(2, b"W0000 00:00:1.5  7 graph.cc:1] harmless\nINFO: Created\nE0000 bad.cc:2] an error\nours")
    os.write(2, b" after")
    assert capfd.readouterr().err == "E0000 bad.cc:2] an error\nours after"


def test_landmarks_equal_mediapipes_and_are_kept_on_request_only(face_model):
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions, RunningMode

    picture = list(itertools.islice(pictures(CLIP), 30))[-1]
    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(face_model)), running_mode=RunningMode.VIDEO
    )
    with FaceLandmarker.create_from_options(options) as landmarker:
        image = Image(image_format=ImageFormat.SRGB, data=picture)
        (landmarks,) = landmarker.detect_for_video(image, 1).face_landmarks
    with FaceFeatures(face_model, landmarks=True) as features, FaceFeatures(face_model) as without:
        for each in (features, without):
            assert each.extract(picture, 0) is not None
        assert features.landmarks is not None
        assert features.landmarks.tolist() == [[point.x, point.y] for point in landmarks]
        assert without.landmarks is None
        assert features.extract(np.zeros_like(picture), FRAME) is None
        assert features.landmarks is None
