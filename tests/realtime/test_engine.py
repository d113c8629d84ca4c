import numpy as np
import pytest

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.export.bundle import Bundle
from enrapt.realtime.engine import Engine

FACE_VALUES = np.full(FACE.dim, 2.0, np.float32)
AUDIO_VALUES = np.full(AUDIO.dim, 3.0, np.float32)


@pytest.fixture
def engine(tiny_bundle):
    return Engine(Bundle.load(tiny_bundle))


def test_a_step_tells_the_model_what_is_there(engine):
    # The tiny bundle: 0.2, and 0.4 with a face, 0.2 with audio; surprise is the mean of the values.
    both = engine.step({"face": FACE_VALUES, "audio": AUDIO_VALUES})
    assert both.mean == pytest.approx(0.8)
    assert (both.low, both.high) == pytest.approx((0.7, 0.9))
    assert both.surprise == {"face": 2.0, "audio": 3.0}
    face = engine.step({"face": FACE_VALUES, "audio": None})
    assert face.mean == pytest.approx(0.6)
    assert face.surprise == {"face": 2.0, "audio": None}
    assert engine.step({}).mean == pytest.approx(0.2)


def test_the_state_is_carried_along_and_forgotten_at_a_reset(engine):
    # Its standard deviation is a thousandth of the ticks since the start.
    assert [engine.step({}).std for _ in range(5)] == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.005])
    engine.reset()
    assert engine.step({}).std == pytest.approx(0.001)
    engine.reset()
    assert engine.step({}).std == pytest.approx(0.001)


def test_the_callers_arrays_are_its_own(engine):
    values = FACE_VALUES.copy()
    engine.step({"face": values})
    values[:] = 9
    assert engine.step({"face": FACE_VALUES}).surprise["face"] == 2.0
    assert (values == 9).all()


def test_what_does_not_fit_is_named(engine):
    with pytest.raises(ValueError, match=r"unknown modalities \['gait'\]"):
        engine.step({"gait": FACE_VALUES})
    with pytest.raises(ValueError, match=r"face has shape \(3,\), expected \(57,\)"):
        engine.step({"face": np.zeros(3, np.float32)})
