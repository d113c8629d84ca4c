"""What both extractors promise, LiteRT's and MediaPipe's: features of `face/1` of any stream of pictures."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from enrapt.cli.demo import CLIP
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.features.face import Backend, Extractor, FaceOptions
from tests.support.faces import FRAME, Picture, moved, pictures, portrait


@pytest.fixture(params=["litert", "mediapipe"])
def options(request: pytest.FixtureRequest, face_model: Path) -> FaceOptions:
    return FaceOptions(face_model, backend=request.param)


@pytest.fixture
def features(options: FaceOptions) -> Iterator[Extractor]:
    extractor = options.open()
    yield extractor
    extractor.close()


def once(options: FaceOptions, picture: Picture) -> dict[str, float]:
    """Features of a stream of one picture, without smoothing."""
    features = options.open()
    values, _ = features.extract(picture, 0)
    features.close()
    assert values is not None
    return dict(zip(FACE.features, values.tolist(), strict=True))


def stream(options: FaceOptions, timed: list[tuple[Picture, int]]) -> list[bytes]:
    features = options.open()
    values = [features.extract(picture, time)[0] for picture, time in timed]
    features.close()
    return [b"none" if v is None else v.tobytes() for v in values]


def test_features_are_a_vector_of_the_schema(features: Extractor) -> None:
    values, view = features.extract(portrait(), 0)
    assert values is not None
    assert values.shape == (FACE.dim,)
    assert values.dtype == np.float32
    assert ((values[:51] >= 0) & (values[:51] <= 1)).all()
    assert view.faces == 1
    assert view.problem is None


def test_landmarks_and_box_are_shares_of_the_picture(options: FaceOptions) -> None:
    boxes = []
    for picture in (portrait(), moved(portrait(), right=64, down=-48)):
        features = options.open()
        assert features.landmarks is None
        _, view = features.extract(picture, 0)
        assert features.landmarks is not None
        assert features.landmarks.shape == (478, 2)
        assert features.landmarks.dtype == np.float32
        assert view.box is not None
        left, top, width, height = view.box
        low, high = features.landmarks.min(0), features.landmarks.max(0)
        np.testing.assert_allclose((left, top, left + width, top + height), [*low, *high], atol=1e-6)
        boxes.append(view.box)
        features.extract(np.zeros_like(picture), FRAME)
        assert features.landmarks is None
        features.close()
    before, after = np.array(boxes)
    np.testing.assert_allclose(after - before, (0.1, -0.1, 0, 0), atol=0.01)


def test_a_mirrored_picture_inverts_yaw_and_roll(options: FaceOptions) -> None:
    turned = moved(portrait(), degrees=12)
    plain, mirrored = once(options, turned), once(options, turned[:, ::-1])
    assert abs(plain["roll"]) > 0.15
    for feature in ("yaw", "roll"):
        assert mirrored[feature] == pytest.approx(-plain[feature], abs=0.03)
    assert mirrored["pitch"] == pytest.approx(plain["pitch"], abs=0.03)
    assert mirrored["x"] == pytest.approx(-plain["x"], abs=0.3)


@pytest.mark.parametrize("degrees", [-25, -10, 10, 25])
def test_roll_is_counter_clockwise_in_the_picture(options: FaceOptions, degrees: int) -> None:
    rolled = once(options, moved(portrait(), degrees))["roll"] - once(options, portrait())["roll"]
    assert rolled == pytest.approx(np.radians(degrees), abs=0.03)


def test_x_is_to_the_right_and_y_is_up_in_centimetres(options: FaceOptions) -> None:
    here, there = once(options, portrait()), once(options, moved(portrait(), right=40, down=-30))
    # Pinhole camera with a vertical field of view of 63°: cm per pixel at the distance of the face's surface,
    # about 3 cm in front of its origin.
    pixel = -(here["z"] + 3) * 2 * np.tan(np.radians(63 / 2)) / portrait().shape[0]
    assert there["x"] - here["x"] == pytest.approx(40 * pixel, rel=0.05)
    assert there["y"] - here["y"] == pytest.approx(30 * pixel, rel=0.07)


@pytest.mark.parametrize("zoom", [0.7, 1.25])
def test_z_is_minus_the_distance(options: FaceOptions, zoom: float) -> None:
    near = once(options, moved(portrait(), zoom=zoom))["z"]
    far = once(options, portrait())["z"]
    assert far < 0
    assert near == pytest.approx(far / zoom, rel=0.04)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (480, 640)])
def test_no_face_is_none(features: Extractor, size: tuple[int, int]) -> None:
    values, view = features.extract(np.full((*size, 3), 127, np.uint8), 0)
    assert values is None
    assert (view.faces, view.person, view.box, view.quality, view.problem) == (0, None, None, None, None)


def test_a_face_may_come_and_go_and_pictures_may_change_size(features: Extractor) -> None:
    black = np.zeros_like(portrait())
    cut = portrait()[:, 100:-100]  # in which it is elsewhere: known again after three pictures at most
    stream = [portrait(), black, portrait(), cut, cut, cut, portrait(), portrait(), portrait()]
    found = [features.extract(picture, k * FRAME)[0] is not None for k, picture in enumerate(stream)]
    assert found[:3] == [True, False, True]
    assert found[5]
    assert found[8]


def test_strides_do_not_matter(options: FaceOptions) -> None:
    wide = np.zeros((portrait().shape[0], portrait().shape[1] + 24, 3), np.uint8)
    wide[:, :640] = portrait()
    padded, bgr = wide[:, :640], portrait()[:, :, ::-1].copy()
    assert not padded.flags.c_contiguous
    assert once(options, padded) == once(options, bgr[:, :, ::-1]) == once(options, portrait())


def test_any_times_are_accepted_and_their_origin_does_not_matter(options: FaceOptions) -> None:
    def at(times: list[int]) -> list[bytes]:
        return stream(options, [(moved(portrait(), right=i), t) for i, t in enumerate(times)])

    assert b"none" not in at([0, 0, -5, 10**9, 10**9 + 1, 2**70, 3, 10**9])
    regular = [k * FRAME for k in range(6)]
    assert at(regular) == at([t - 10**18 for t in regular]) == at([t + 10**18 for t in regular])


def test_the_same_pictures_twice_give_the_same_bytes(options: FaceOptions) -> None:
    clip = [(picture, k * FRAME) for k, picture in enumerate(pictures(CLIP)) if 495 <= k < 520]
    first = stream(options, clip)
    assert first == stream(options, clip)
    assert b"none" in first


@pytest.mark.long
def test_real_speakers_have_a_face(options: FaceOptions, shared: Path) -> None:
    clips = sorted(shared.glob("clips/grid_*.mpg"))
    assert len(clips) == 7
    for clip in clips:
        values = stream(options, [(p, k * FRAME) for k, p in enumerate(pictures(clip))])
        assert np.mean([v != b"none" for v in values]) >= 0.95, clip.name


@pytest.mark.long
def test_yaw_and_pitch_correlate_with_the_position_of_the_nose(features: Extractor, shared: Path) -> None:
    """Yaw and pitch against the geometry of the landmarks, on a head that turns and nods."""
    angles, noses = [], []
    for k, picture in enumerate(pictures(shared / "clips" / "pyfeat_WolfgangLanger_Pexels.mp4")):
        if k % 16:
            continue
        values, _ = features.extract(picture, k * FRAME)
        if values is None:
            continue
        assert features.landmarks is not None
        # MediaPipe's face mesh: 1 tip of the nose, 234 and 454 cheeks, 10 forehead, 152 chin.
        nose, right, left, top, chin = features.landmarks[[1, 234, 454, 10, 152]]
        angles.append((values[FACE.index("yaw")], values[FACE.index("pitch")]))
        across = (nose[0] - (right[0] + left[0]) / 2) / (left[0] - right[0])
        noses.append((across, (nose[1] - (top[1] + chin[1]) / 2) / (chin[1] - top[1])))
    assert len(angles) > 10
    correlation = np.corrcoef(np.array(angles).T, np.array(noses).T)
    assert correlation[0, 2] > 0.9
    assert correlation[1, 3] > 0.9


def test_closing_twice_does_nothing(options: FaceOptions) -> None:
    features = options.open()
    features.close()
    features.close()


@pytest.mark.parametrize("content", [b"not a model", b"", b"PK\x05\x06" + bytes(18), None])
def test_an_unreadable_model_is_a_user_error(
    options: FaceOptions, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.task"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="enrapt doctor") as caught:
        FaceOptions(path, backend=options.backend).open()
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("backend", "module", "remedy"),
    [
        ("litert", "ai_edge_litert.interpreter", "ai-edge-litert"),
        ("mediapipe", "mediapipe", r"\[mediapipe\]"),
    ],
)
def test_without_the_library_the_error_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, face_model: Path, backend: Backend, module: str, remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=f"pip install .*{remedy}"):
        FaceOptions(face_model, backend=backend).open()


def test_the_model_is_looked_for_when_it_is_needed(face_model: Path) -> None:
    asked = []
    options = FaceOptions(lambda: asked.append(1) or face_model)
    assert not asked
    options.open().close()
    assert asked == [1]


SESSION = """
import os, sys
import numpy as np
from pathlib import Path
from enrapt.realtime.features.face import FaceOptions
assert not {"mediapipe", "ai_edge_litert", "torch"} & sys.modules.keys()
features = FaceOptions(Path(sys.argv[1]), backend=sys.argv[2]).open()
features.extract(np.zeros((90, 120, 3), np.uint8), 0)
features.close()
os.write(2, b"still open")
"""


@pytest.mark.parametrize("backend", ["litert", "mediapipe"])
def test_nothing_is_printed_and_libraries_are_imported_late(face_model: Path, backend: str) -> None:
    command = [sys.executable, "-c", SESSION, face_model, backend]
    session = subprocess.run(command, capture_output=True, check=True)
    assert session.stdout == b""
    assert session.stderr == b"still open"
