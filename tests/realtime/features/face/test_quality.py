"""How good a face is, and each reason for which it is not taken."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.schemas import FACE
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.features.face.quality import OUTSIDE, PITCH, YAW, quality_of
from enrapt.realtime.features.face.region import Region
from enrapt.realtime.features.face.tracker import GREY, Face
from tests.support.faces import FRAME, moved, portrait

RNG = np.random.default_rng(0)
WIDTH, HEIGHT = 640, 480


def made(width=150.0, x=320.0, y=240.0, grey=None) -> Face:
    """A face of sharp detail, as wide as high."""
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[:, :2] = RNG.uniform((x - width / 2, y - width / 2), (x + width / 2, y + width / 2), (478, 2))
    landmarks[0, :2], landmarks[1, :2] = (x - width / 2, y - width / 2), (x + width / 2, y + width / 2)
    region = Region(x, y, 1.5 * width, 1.5 * width, 0.0)
    if grey is None:
        grey = RNG.integers(60, 200, (GREY, GREY)).astype(np.uint8)
    return Face(1, region, 0, landmarks, 1.0, grey)


def values(yaw=0.0, pitch=0.0):
    features = np.zeros(FACE.dim, np.float32)
    features[FACE.index("yaw")], features[FACE.index("pitch")] = yaw, pitch
    return features


def of(face, **angles):
    return quality_of(face, values(**angles), WIDTH, HEIGHT)


def test_a_good_face_is_1_without_a_problem():
    assert of(made()) == (1.0, None)


FLAT = np.full((GREY, GREY), 120, np.uint8)
NIGHT = RNG.integers(0, 3, (GREY, GREY)).astype(np.uint8)
BAD = {
    "too small": made(width=15),
    "partly out of view": made(x=5),
    "too dark": made(grey=NIGHT),
    "blurred": made(grey=FLAT),
}


@pytest.mark.parametrize("problem", BAD)
def test_each_problem_is_named(problem):
    assert of(BAD[problem]) == (0.0, problem)


@pytest.mark.parametrize("angle", ["yaw", "pitch"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_turned_head(angle, sign):
    good, useless = YAW if angle == "yaw" else PITCH
    assert of(made(), **{angle: sign * good * 0.99}) == (1.0, None)
    quality, problem = of(made(), **{angle: sign * (good + useless) / 2})
    assert (quality, problem) == (pytest.approx(0.5, abs=1e-5), None)
    assert of(made(), **{angle: sign * useless * 1.001}) == (0.0, "turned away")


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_the_share_beyond_an_edge(side):
    """Of a face 100 pixels wide."""
    for share in (0.0, 0.9 * OUTSIDE[0], sum(OUTSIDE) / 2, 1.05 * OUTSIDE[1], 1.5):
        inside = 50 - 100 * share
        place = {
            "left": {"x": inside}, "right": {"x": WIDTH - inside},
            "top": {"y": inside}, "bottom": {"y": HEIGHT - inside},
        }  # fmt: skip
        quality, problem = of(made(width=100, **place[side]))
        expected = min(1.0, max(0.0, (OUTSIDE[1] - share) / (OUTSIDE[1] - OUTSIDE[0])))
        assert quality == pytest.approx(expected, abs=1e-3)
        assert problem == ("partly out of view" if expected == 0 else None)


def test_the_worst_is_named():
    """Twice as bad: half out of view and only a little small."""
    quality, problem = of(made(width=40, x=-10))
    assert (quality, problem) == (0.0, "partly out of view")


@given(
    st.floats(1, 600), st.floats(-300, 900), st.floats(-300, 700), st.floats(-3.2, 3.2), st.floats(-1.6, 1.6)
)
def test_any_face_has_a_quality_and_a_problem_only_at_0(width, x, y, yaw, pitch):
    quality, problem = of(made(width, x, y), yaw=yaw, pitch=pitch)
    assert 0 <= quality <= 1
    assert math.isfinite(quality)
    assert (problem is not None) == (quality == 0)


@given(st.floats(10, 200), st.floats(1.01, 2))
def test_a_larger_face_is_never_worse(width, more):
    assert of(made(width * more))[0] >= of(made(width))[0]


# Real pictures, through the extractor


BLURRED = cv2.GaussianBlur(portrait(), None, 5)
DARK = (portrait() * 0.02).astype(np.uint8)
SMALL = cv2.resize(portrait(), (64, 48), interpolation=cv2.INTER_AREA)  # the face 15 pixels wide
STREAMS = {
    "too small": [SMALL] * 2,
    "partly out of view": [moved(portrait(), right=-10 * k) for k in range(32)],
    "too dark": [portrait(), DARK, DARK],
    "blurred": [portrait(), BLURRED, BLURRED],
}


@pytest.mark.parametrize("problem", STREAMS)
def test_a_bad_picture_gives_no_features_and_says_why(face_model, problem):
    features, problems = FaceOptions(face_model).open(), []
    for k, picture in enumerate(STREAMS[problem]):
        found, view = features.extract(picture, k * FRAME)
        assert (found is None) == (view.box is None or view.problem is not None)
        assert (view.quality is None) == (view.box is None)
        problems.append(view.problem)
    assert set(problems) <= {None, problem}
    assert problem in problems


def test_a_good_picture_has_features_and_quality_1(face_model):
    features = FaceOptions(face_model).open()
    found, view = features.extract(portrait(), 0)
    assert found is not None
    assert (view.quality, view.problem) == (1.0, None)
    _, darker = features.extract((portrait() * 0.1).astype(np.uint8), FRAME)
    assert darker.quality is not None
    assert darker.quality < 1
