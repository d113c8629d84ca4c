"""The level is the mean over ten seconds in which something was present."""

import pytest

from enrapt.realtime.calibration import Calibration
from enrapt.realtime.engine.estimate import Engagement, Estimate


def estimate(mean: float, present: bool = True) -> Estimate:
    return Estimate(0, 0.0, Engagement(mean, 0.1, 0.0, 1.0), {"face": present, "audio": False}, {}, {})


def test_the_mean_of_ten_seconds_with_a_face():
    calibration = Calibration(rate=2)
    for k in range(19):
        assert calibration.add(estimate(k / 20)) is None
        assert calibration.add(estimate(1.0, present=False)) is None  # nothing is present
    assert calibration.add(estimate(19 / 20)) == pytest.approx(19 / 40)
    assert calibration.add(estimate(1.0)) == pytest.approx(19 / 40)
