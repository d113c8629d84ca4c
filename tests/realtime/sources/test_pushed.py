"""Features that the program pushes."""

import threading
import time

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.sources import pushed as module
from enrapt.realtime.sources.pushed import Pushed
from enrapt.realtime.streams.samples import SECOND
from tests.support.inlet import FakeInlet, until

pytestmark = pytest.mark.live


@pytest.fixture
def inlet() -> FakeInlet:
    return FakeInlet(3, "gaze/1")


@pytest.fixture
def gaze(inlet: FakeInlet) -> Pushed:
    gaze = Pushed("gaze", "gaze/1", 3)
    gaze.open(inlet)
    return gaze


def test_samples_are_delivered_at_their_time(gaze: Pushed, inlet: FakeInlet) -> None:
    before = inlet.clock()
    gaze.push([1, 2, 3])
    gaze.push((0.5, 0, 0), time.monotonic_ns() - SECOND // 10)
    now, earlier = inlet.samples
    assert now.values is not None
    assert now.values.dtype == np.float32
    assert now.values.tolist() == [1, 2, 3]
    assert before <= now.time <= inlet.clock()
    assert SECOND // 10 <= earlier.arrived - earlier.time < SECOND // 5
    assert gaze.format == "gaze/1"


def test_values_are_copied(gaze: Pushed, inlet: FakeInlet) -> None:
    values = np.ones(3, np.float32)
    gaze.push(values)
    values[:] = 7
    assert inlet.samples[0].values is not None
    assert inlet.samples[0].values.tolist() == [1, 1, 1]


@pytest.mark.parametrize("values", [None, [1, np.nan, 3], [np.inf, 0, 0], np.full(3, 1e300)])
def test_values_that_are_not_finite_are_missing(gaze: Pushed, inlet: FakeInlet, values: object) -> None:
    gaze.push(values)  # type: ignore[arg-type]
    assert [sample.values for sample in inlet.samples] == [None]


@pytest.mark.parametrize("values", [[1, 2], [[1, 2, 3]], 5.0, "abc", ["a", "b", "c"], []])
def test_another_number_of_values_is_an_error_in_one_line(
    gaze: Pushed, inlet: FakeInlet, values: object
) -> None:
    with pytest.raises(UserError, match=r"^gaze: push 3 numbers, not [^\n]*$"):
        gaze.push(values)  # type: ignore[arg-type]
    assert inlet.captured == 0


def test_another_dimension_than_the_bundles_is_an_error_at_opening() -> None:
    with pytest.raises(UserError, match="gaze: pushes 2 numbers, and the bundle expects 3"):
        Pushed("gaze", dim=2).open(FakeInlet(3))
    Pushed("gaze").open(FakeInlet(3))


@pytest.mark.parametrize("max_age", [0.05, 0.3])
def test_it_is_lost_while_nothing_is_pushed(
    inlet: FakeInlet, max_age: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOST", SECOND // 5)
    inlet.max_age = round(max_age * SECOND)
    gaze = Pushed("gaze")
    gaze.open(inlet)
    for _ in range(2):
        assert gaze.lost
        gaze.push([0, 0, 0])
        assert not gaze.lost
        time.sleep(0.05)
        gaze.push([0, 0, 0])
        assert not gaze.lost
        lost_after = until(lambda: gaze.lost, 1)
        assert lost_after == pytest.approx(max(0.2, 2 * max_age), abs=0.05)


def test_unwanted_samples_are_counted(gaze: Pushed, inlet: FakeInlet) -> None:
    inlet.unwanted = "paused"
    gaze.push([0, 0, 0])
    assert inlet.dropped == {"paused": 1}
    assert not gaze.lost


def test_times_of_another_clock_are_dropped_with_one_warning(gaze: Pushed, inlet: FakeInlet) -> None:
    for _ in range(2):
        gaze.push([0, 0, 0], time.monotonic_ns() + 10**18)
        gaze.push([0, 0, 0], time.monotonic_ns() - 11 * SECOND)
    assert inlet.dropped == {"wrong_time": 4}
    assert gaze.lost
    (line,) = inlet.warnings
    assert "+1000000000 s from now" in line


def test_nothing_is_delivered_before_opening_and_after_closing(inlet: FakeInlet) -> None:
    gaze = Pushed("gaze")
    gaze.push([0, 0, 0])
    gaze.open(inlet)
    gaze.close()
    gaze.push([0, 0, 0])
    assert inlet.captured == 0


def test_regular_samples_promise_when_the_next_one_comes(gaze: Pushed, inlet: FakeInlet) -> None:
    start = time.monotonic_ns() - SECOND
    for k in range(40):
        gaze.push([0, 0, 0], start + k * SECOND // 50)
    assert [sample.reached - sample.time for sample in inlet.samples] == [0] * 30 + [SECOND // 50 - 1] * 10


def test_from_several_threads(gaze: Pushed, inlet: FakeInlet) -> None:
    def push() -> None:
        for k in range(200):
            gaze.push([k, k, k])

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inlet.samples) == 800
