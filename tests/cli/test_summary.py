from collections import Counter
from types import SimpleNamespace

from enrapt.cli.summary import summary
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.statistics import Statistics
from enrapt.realtime.streams.absence import Absence
from enrapt.realtime.streams.axis import Segment
from enrapt.realtime.streams.counts import Counts
from enrapt.realtime.streams.samples import SECOND


def a_run(statistics, counts, outputs=None, segments=(), absences=None):
    """Stands for a `Run`."""
    return SimpleNamespace(
        statistics=statistics,
        counts=counts,
        absences=absences or {},
        outputs=SimpleNamespace(counts=outputs or {}),
        rate=25,
        source=SimpleNamespace(segments=segments),
    )


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
                latency_ms=Latency(
                    0.25, 2.0 if tick < 490 else 40.0, extract={"face": 7.5}, waits={"audio": 9.0}
                ),
            )
        )
    counts = {
        "face": Counts(
            captured=520, used=500, dropped=Counter(superseded=18, corrupt=2, duplicate=0), late=3
        ),
        "audio": Counts(captured=1, used=0, dropped=Counter(after_end=1)),
    }
    outputs = {"osc://127.0.0.1:9000/x": Counts(captured=500, used=499, dropped=Counter(full=1))}
    assert (
        summary(a_run(statistics, counts, outputs), wall=4.0)
        == """\
500 ticks in 4.0 s: 125.0 per second, 5.0× real time

present at
  face       75.0% of ticks
  audio       0.0% of ticks

latency, ms          p50      p95      p99
  extract face      7.50     7.50     7.50
  step              0.25     0.25     0.25
  total             2.00     2.00    40.00
  wait for audio    9.00     9.00     9.00

samples
  face     520 captured = 500 used + 18 superseded + 2 corrupt (3 late)
  audio    1 captured = 0 used + 1 after end

outputs
  osc://127.0.0.1:9000/x 500 captured = 499 used + 1 full"""
    )


def test_how_long_a_modality_was_missing_and_why():
    absences = {"face": Absence(1, 1), "audio": Absence(1, 1)}
    absences["audio"].lasted = {
        "late": ("arrives 640 ms late; try --max-wait 700", 7_840_000_000),
        "nothing": ("lsl:room sends nothing; start it again", 12 * SECOND),
    }
    text = summary(a_run(Statistics(), {}, absences=absences), wall=0.1)
    assert text.split("missing for\n")[1].splitlines()[:3] == [
        "  audio       7.8 s: arrives 640 ms late; try --max-wait 700",
        "  audio      12.0 s: lsl:room sends nothing; start it again",
        "",
    ]


def test_a_run_without_a_tick():
    text = summary(a_run(Statistics(), {"face": Counts()}), wall=0.1)
    assert text.startswith("0 ticks in 0.1 s")
    assert "outputs" not in text


def test_without_counts_there_is_no_table_of_samples():
    assert "samples" not in summary(a_run(Statistics(), {}), wall=0.1)


def test_how_time_was_repaired():
    first = Segment(0, 5 * SECOND)
    steps = [Segment(10 * SECOND, 0, "step back"), Segment(20 * SECOND, 999 * SECOND, "gap", 300 * SECOND)]
    text = summary(a_run(Statistics(), {}, segments=[first, *steps]), wall=0.1)
    assert text.split("time repaired\n")[1].splitlines() == [f"  {step}" for step in steps]
    assert "time" not in summary(a_run(Statistics(), {}, segments=[first]), wall=0.1).split("present")[1]
    many = summary(a_run(Statistics(), {}, segments=[first, *steps * 10]), wall=0.1)
    assert len(many.split("time repaired\n")[1].splitlines()) == 6
    assert "… and 15 more" in many
