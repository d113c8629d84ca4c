"""Calibration collects a minute in which something was present, and ends where another person is followed."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.controls import RESET, Controls
from enrapt.realtime.engine.engine import Values
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.streams.samples import SECOND, Control, Observation, View


class Controlled(Controls):
    """Stands for a `Run` of two ticks a second."""

    rate = 2

    def __init__(self) -> None:
        super().__init__()
        self.source = LiveSource([])
        self.notes: list[str] = []
        self.adapted: list[int | None] = []

    def note(self, time: int, label: str) -> None:
        self.notes.append(label)

    def forget(self) -> None: ...

    def adapt(self, ticks: Sequence[Values] | None) -> None:
        self.adapted.append(None if ticks is None else len(ticks))


def observation(present: bool = True, person: int | None = None) -> Observation:
    face = np.ones(57, np.float32) if present else None
    view = None if person is None else View(faces=1, person=person)
    return Observation(0, 0, {"face": face, "audio": None}, {"face": None, "audio": None}, view=view)


def test_a_minute_with_a_face():
    run = Controlled()
    run.calibrate()
    run.apply_controls()
    for k in range(119):
        run.continue_calibration(observation())
        run.continue_calibration(observation(present=False))
        assert run.calibrating == (k + 1) / 2
    assert run.adapted == []
    run.continue_calibration(observation())
    assert run.adapted == [120]
    assert run.calibrating is None
    run.continue_calibration(observation())
    assert run.adapted == [120]
    assert run.notes == [Control.CALIBRATE]


def test_it_begins_again_when_it_is_asked_for_again():
    run = Controlled()
    for _ in range(2):
        run.calibrate()
        run.apply_controls()
        run.continue_calibration(observation())
        assert run.calibrating == 0.5
    assert run.adapted == []


def test_another_person_ends_it_and_gets_the_profile_that_was_given():
    run = Controlled()
    run.meet(observation(person=1))
    run.calibrate()
    run.apply_controls()
    run.continue_calibration(observation())
    run.meet(observation(person=1))
    assert run.calibrating == 0.5
    run.meet(observation(person=2))
    assert run.calibrating is None
    assert run.adapted == [None]
    assert run.notes == [Control.CALIBRATE, RESET]


def test_the_mark_of_a_recording_begins_it_and_the_same_text_does_not():
    run = Controlled()
    run.source.marks = [(0, str(Control.CALIBRATE.value)), (SECOND, Control.CALIBRATE)]
    run.apply_marks(0)
    assert run.calibrating is None
    run.apply_marks(SECOND)
    assert run.calibrating == 0.0


def test_several_people_cannot_be_calibrated():
    run = Controlled()
    run.source = SimpleNamespace(people=2)
    with pytest.raises(UserError, match="of one person"):
        run.calibrate()
