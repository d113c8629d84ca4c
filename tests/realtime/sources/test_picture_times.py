"""The times of pictures, where a container has two, none or impossible ones."""

import random

from enrapt.realtime.sources.picture_times import PictureTimes

PERIOD = 40


def run(*times: tuple[int | None, int | None], interval: int = PERIOD) -> list[int]:
    pictures = PictureTimes(interval)
    return [pictures.next(shown, decoded, 0) for shown, decoded in times]


def test_the_times_of_presentation_are_taken() -> None:
    assert run(*((100 + k * 37, k) for k in range(50))) == [100 + k * 37 for k in range(50)]


def test_a_picture_without_a_time_follows_after_an_interval() -> None:
    assert run((0, None), (None, None), (None, None), (120, None)) == [0, 40, 80, 120]
    assert run(*[(None, None)] * 4) == [0, 40, 80, 120]


def test_where_presentation_steps_back_more_often_decoding_is_taken() -> None:
    """As of AVI files whose times of presentation are those of the packets."""
    shown = [0, 120, 40, 80, 240, 160, 200, 360, 280, 320]
    found = run(*zip(shown, range(0, 400, 40), strict=True))
    assert found[3:] == list(range(120, 400, 40))


def test_impossible_times_are_replaced_by_counting() -> None:
    rng = random.Random(0)
    pictures = PictureTimes(PERIOD)
    found = [pictures.next(7, None, 0) for _ in range(100)]
    assert pictures.counting
    assert found[20:] == [found[20] + k * PERIOD for k in range(80)]
    pictures = PictureTimes(PERIOD)
    for k in range(100):
        pictures.next(k * PERIOD + rng.randrange(-60, 60), None, 0)
    assert not pictures.counting
