"""Calibration is the mean over ten seconds in which something was present."""

import pytest

from enrapt.realtime.controls import Controls
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.sources.live import LiveSource


class Controlled(Controls):
    """Stands for a `Run` of two ticks a second."""

    rate = 2

    def __init__(self) -> None:
        super().__init__()
        self.source = LiveSource([])
        self.notes: list[str] = []

    def note(self, time: int, label: str) -> None:
        self.notes.append(label)

    def forget(self) -> None:
        raise AssertionError


def estimate(mean: float, present: bool = True) -> Estimate:
    return Estimate(0, 0.0, Engagement(mean, 0.1, 0.0, 1.0), {"face": present, "audio": False}, {}, {})


def test_the_mean_of_ten_seconds_with_a_face():
    run = Controlled()
    run.calibrate()
    run.apply_controls()
    for k in range(19):
        run.continue_calibration(estimate(k / 20))
        run.continue_calibration(estimate(1.0, present=False))  # nothing is present
        assert run.calibrated is None
    run.continue_calibration(estimate(19 / 20))
    assert run.calibrated == pytest.approx(19 / 40)
    run.continue_calibration(estimate(1.0))
    assert run.calibrated == pytest.approx(19 / 40)
    run.apply_controls()
    assert run.notes == ["calibration begins", "calibrated: 0.475"]
