from collections import Counter

from enrapt.cli.summary import summary
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.statistics import Statistics
from enrapt.realtime.streams.counts import Counts


def test_a_run_in_a_few_lines():
    statistics = Statistics()
    for tick in range(500):
        statistics.add(
            Estimate(
                tick=tick,
                t=tick / 25,
                engagement=Engagement(0.5, 0.1, 0.4, 0.6),
                present={"face": tick < 375, "audio": False},
                age_ms={"face": None, "audio": None},
                surprise={"face": None, "audio": None},
                latency_ms=Latency(0.25, 2.0 if tick < 490 else 40.0),
            )
        )
    counts = {
        "face": Counts(
            captured=520, used=500, dropped=Counter(superseded=18, corrupt=2, duplicate=0), late=3
        ),
        "audio": Counts(captured=1, used=0, dropped=Counter(after_end=1)),
    }
    assert (
        summary(statistics, counts, rate=25, wall=4.0)
        == """\
500 ticks in 4.0 s: 125.0 per second, 5.0× real time

present at
  face       75.0% of ticks
  audio       0.0% of ticks

latency, ms          p50      p95      p99
  step              0.25     0.25     0.25
  total             2.00     2.00    40.00

samples
  face     520 captured = 500 used + 18 superseded + 2 corrupt (3 late)
  audio    1 captured = 0 used + 1 after end"""
    )


def test_a_run_without_a_tick():
    assert summary(Statistics(), {"face": Counts()}, rate=25, wall=0.1).startswith("0 ticks in 0.1 s")
