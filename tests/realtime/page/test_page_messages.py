import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.page.latest import RECENT, Latest
from enrapt.realtime.page.messages import estimate_json, features, page_estimate
from enrapt.realtime.streams.samples import Observation
from tests.support.served import SCHEMAS, tick, vector

pytestmark = pytest.mark.live

MISSING = dict.fromkeys(
    ("yaw_deg", "pitch_deg", "roll_deg", "gaze_x", "gaze_y", "voice", "level_db", "expressions")
)


def features_of(schemas=SCHEMAS, **values):
    return features(values, schemas)


def test_features_of_a_face_and_a_voice():
    face = vector(
        FACE,
        yaw=math.pi / 6,
        pitch=-math.pi / 4,
        roll=0.01,
        mouthSmileLeft=0.75,
        mouthSmileRight=0.5,
        jawOpen=0.25,
        browInnerUp=0.125,
        cheekPuff=0.0625,
        noseSneerLeft=0.03,
        eyeLookOutLeft=0.9,
        eyeLookInRight=0.7,
        eyeLookDownLeft=0.3,
        eyeLookDownRight=0.1,
    )
    assert features_of(face=face, audio=vector(AUDIO, speech=0.875, level=-31.25, voicing=0.1)) == {
        "yaw_deg": 30.0,
        "pitch_deg": -45.0,
        "roll_deg": 0.6,
        "gaze_x": 0.8,
        "gaze_y": -0.2,
        "voice": 0.875,
        "level_db": -31.2,
        "expressions": [
            ["mouthSmileLeft", 0.75],
            ["mouthSmileRight", 0.5],
            ["jawOpen", 0.25],
            ["browInnerUp", 0.125],
            ["cheekPuff", 0.062],
        ],
    }


@pytest.mark.parametrize(
    ("feature", "gaze"),
    [
        ("eyeLookOutLeft", (0.5, 0)),
        ("eyeLookInRight", (0.5, 0)),
        ("eyeLookInLeft", (-0.5, 0)),
        ("eyeLookOutRight", (-0.5, 0)),
        ("eyeLookUpLeft", (0, 0.5)),
        ("eyeLookUpRight", (0, 0.5)),
        ("eyeLookDownLeft", (0, -0.5)),
        ("eyeLookDownRight", (0, -0.5)),
    ],
)
def test_gaze_is_the_mean_of_both_eyes(feature, gaze):
    shown = features_of(face=vector(FACE, **{feature: 1.0}))
    assert (shown["gaze_x"], shown["gaze_y"]) == gaze


def test_missing_features_are_null():
    assert features_of(face=None, audio=None) == features_of() == MISSING
    assert features_of(face=vector(FACE), audio=None)["voice"] is None
    assert features_of(face=None, audio=vector(AUDIO, level=-20.0)) == MISSING | {
        "voice": 0.0,
        "level_db": -20.0,
    }


def test_modalities_are_found_by_schema_whatever_their_names():
    anna, room = vector(FACE, yaw=1.0), vector(AUDIO, level=-20.0)
    schemas = {"anna": FACE.name, "room": AUDIO.name, "face": "pulse/1"}
    shown = features_of(schemas, face=np.ones(3, np.float32), anna=anna, room=room, other=np.ones(1))
    assert (shown["yaw_deg"], shown["level_db"]) == (57.3, -20.0)
    assert features_of({}, face=anna, audio=room) == MISSING


def test_page_estimate_is_the_estimate_with_features():
    estimate, observation = tick(7)
    message = json.loads(page_estimate(estimate_json(estimate), observation.values, SCHEMAS))
    assert message == {
        "type": "estimate",
        **json.loads(estimate_json(estimate)),
        "features": features(observation.values, SCHEMAS),
    }


def test_nan_is_null_in_json():
    observation = Observation(0, 0, {"audio": vector(AUDIO, level=math.nan)}, {"audio": 0})
    message = json.loads(page_estimate('{"tick":0}', observation.values, SCHEMAS))
    assert message["features"]["level_db"] is None


@given(st.lists(st.floats(0.01, 20), max_size=60), st.booleans())
def test_history_keeps_the_last_minute_at_any_rate(steps, whole):
    latest = Latest()
    latest.whole = whole
    times = np.cumsum(steps).tolist()
    for k, t in enumerate(times):
        present = {"face": k % 2 == 0}
        latest.add(Estimate(k, t, Engagement(k / 100, 0, k / 200, k / 50), present, {}, {}), "")
    kept = [k for k, t in enumerate(times) if whole or t >= times[-1] - RECENT]
    assert msgspec.structs.asdict(latest.history()) == {
        "t": [times[k] for k in kept],
        "mean": [k / 100 for k in kept],
        "low": [k / 200 for k in kept],
        "high": [k / 50 for k in kept],
        "present": {"face": [1 - k % 2 for k in kept]} if times else {},
    }
    assert whole or not times or len(latest.past()._t) <= 2 * len(kept) + 1
