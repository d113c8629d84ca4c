"""The level is the mean of ten seconds in which there was something to go by."""

import pytest

from enrapt.realtime.calibration import Calibration
from enrapt.realtime.engine.estimate import Engagement, Estimate


def estimate(mean: float, there: bool = True) -> Estimate:
    return Estimate(0, 0.0, Engagement(mean, 0.1, 0.0, 1.0), {"face": there, "audio": False}, {}, {})


def test_the_mean_of_ten_seconds_with_a_face():
    calibration = Calibration(rate=2)
    for k in range(19):
        assert calibration.add(estimate(k / 20)) is None
        assert calibration.add(estimate(1.0, there=False)) is None  # nobody to go by
    assert calibration.add(estimate(19 / 20)) == pytest.approx(19 / 40)
    assert calibration.add(estimate(1.0)) == pytest.approx(19 / 40)
