"""The stretches that are offered for rating."""

import itertools

import numpy as np

from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.study.annotate.segments import Segment
from enrapt.study.annotate.suggest import SHORTEST, Stretch, most_useful, stretches


def estimates(width, surprise=None, person=None, rate=25):
    for k, one in enumerate(width):
        nats = None if surprise is None else float(surprise[k])
        yield Estimate(
            k,
            k / rate,
            Engagement(0.5, 0.1, 0.5 - one / 2, 0.5 + one / 2),
            {"face": True},
            {"face": 0.0},
            {"face": nats},
            person=person,
        )


def test_wide_intervals_and_surprise_are_found():
    t = np.arange(0, 100, 0.04)
    width = np.where((t > 20) & (t < 30), 0.8, 0.2)
    surprise = np.where((t > 60) & (t < 70), 5.0, 1.0)
    unsure, surprised = (
        [s for s in stretches(estimates(width, surprise)) if s.why == why] for why in ("unsure", "surprised")
    )
    for found, (start, end) in ((unsure, (20, 30)), (surprised, (60, 70))):
        covered = sum(max(0.0, min(s.end, end) - max(s.start, start)) for s in found)
        assert covered > 7
        assert all(s.end - s.start >= SHORTEST - 0.01 for s in found)


def test_where_nothing_stands_out_nothing_is_offered():
    assert stretches(estimates(np.full(2500, 0.3), np.full(2500, 1.0))) == []
    assert stretches(estimates([])) == []
    assert stretches(estimates([0.3])) == []


def test_the_largest_of_several_people_counts():
    t = np.arange(0, 100, 0.04)
    still = estimates(np.full(len(t), 0.2), person=1)
    other = estimates(np.where((t > 40) & (t < 50), 0.8, 0.1), person=2)
    assert any(40 < (s.start + s.end) / 2 < 50 for s in stretches([*still, *other]))


def test_longest_unrated_first():
    found = [Stretch(0, 10, "unsure"), Stretch(20, 35, "unsure"), Stretch(50, 55, "surprised")]
    assert most_useful(found, []) == [found[1], found[0], found[2]]
    rated = [Segment(20.0, 33.0, 0.5), Segment(49.0, 56.0, 0.5)]
    assert most_useful(found, rated) == [found[0], found[1]]


def test_short_ones_are_widened():
    t = np.arange(0, 20, 0.04)
    width = np.where((t > 6) & (t < 9.5) | (t > 14) & (t < 17), 0.7, 0.3)
    found = stretches(estimates(width))
    assert [any(s.start < at < s.end for s in found) for at in (7.75, 15.5)] == [True, True]
    assert all(s.end - s.start >= SHORTEST - 0.01 for s in found)
    assert all(a.end < b.start for a, b in itertools.pairwise(found))
