"""XDF files as the world has them: clocks, times, streams and damage of every kind."""

import time

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO
from enrapt.realtime.run import Run
from enrapt.realtime.sources.xdf import XdfSource
from enrapt.realtime.streams.samples import SECOND
from tests.support.xdf_files import (
    Stream,
    audio,
    empty,
    face,
    joined,
    tone,
    vectors,
    write,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("error")


def replayed(path, bundle, offsets=None, **options):
    """Present modalities at each tick, and the run."""
    with Run(XdfSource(path, **options), bundle, offsets=offsets) as run:
        present = [estimate.present for estimate in run]
    for counts in run.counts.values():
        assert counts.captured == counts.used + counts.dropped.total()
    return present, run


def refused(path, bundle, **options):
    with pytest.raises(UserError) as caught:
        replayed(path, bundle, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_streams_that_share_no_time_are_refused_until_an_offset_says_how_they_do(tiny_bundle, tmp_path):
    path = write(tmp_path / "epoch.xdf", face(2, begin=1.7e9), audio(2, begin=100.0))
    line = refused(path, tiny_bundle)
    assert "face (tracker) lasts from 1700000000.00 to 1700000001.97 s" in line
    assert "audio (opensmile) lasts from 100.00 to 101.96 s" in line
    assert "--offset NAME=SECONDS (face=-1699999900.00 lets them begin together)" in line
    present, run = replayed(path, tiny_bundle, {"face": -1_699_999_900.0})
    assert present == [{"face": True, "audio": True}] * 50
    assert run.counts["face"].captured == 60
    assert "no time" in refused(path, tiny_bundle, offsets={"face": 1.0})


def test_an_offset_shifts_its_stream(tiny_bundle, tmp_path):
    path = write(tmp_path / "a.xdf", face(2, begin=100.0), audio(2, begin=100.0))
    present, _ = replayed(path, tiny_bundle, {"audio": 1.0})
    assert [p["audio"] for p in present] == [False] * 25 + [True] * 50
    assert not any(p["face"] for p in present[57:])
    present, _ = replayed(path, tiny_bundle, {"face": -1.0})
    assert [p["audio"] for p in present] == [False] * 25 + [True] * 50


def test_streams_apart_by_less_than_the_limit_are_taken(tiny_bundle, tmp_path):
    path = write(tmp_path / "a.xdf", face(2), audio(2, begin=140.0))
    present, _ = replayed(path, tiny_bundle)
    assert len(present) == 1050
    assert "no time" in refused(path, tiny_bundle, max_gap=20.0)


def test_joined_recordings_follow_each_other(tiny_bundle, tmp_path):
    faces = joined(face(4, begin=500.0), face(3, begin=100.0))
    sound = joined(audio(4, begin=500.0), audio(3, begin=100.0))
    present, run = replayed(write(tmp_path / "a.xdf", faces, sound), tiny_bundle)
    assert len(present) == 175
    assert all(p["face"] and p["audio"] for p in present)
    assert {m: c.captured for m, c in run.counts.items()} == {"face": 210, "audio": 175}
    assert [(s.reason, s.at, s.begin) for s in run.source.segments] == [
        ("", 0, 500 * SECOND),
        ("step back", pytest.approx(4 * SECOND, abs=SECOND // 100), 100 * SECOND),
    ]
    assert [str(s) for s in run.source.segments[1:]] == [
        "at 4.01 s times start again at 100.00 s: taken as the next part"
    ]
    assert not run.source.problems


def test_a_gap_is_closed_or_stays_with_a_greater_limit(tiny_bundle, tmp_path):
    days = joined(face(2), face(2, begin=300_000.0))
    marks = Stream("Markers", np.array([100.0, 200_000.0, 300_001.0]), list("abc"), format="string")
    path = write(tmp_path / "a.xdf", days, marks)
    present, run = replayed(path, tiny_bundle)
    assert len(present) <= 101
    assert run.source.segments[1].reason == "gap"
    assert run.source.segments[1].gap == pytest.approx(299_898 * SECOND, rel=1e-6)
    assert [label for _, label in run.source.marks] == ["a", "b", "c"]
    assert [at // SECOND for at, _ in run.source.marks] == [0, 2, 3]
    assert "--max-gap" in str(run.source.segments[1])
    present, run = replayed(
        write(tmp_path / "b.xdf", joined(face(2), face(2, begin=200.0))), tiny_bundle, max_gap=120
    )
    assert len(present) == 2550
    assert len(run.source.segments) == 1


def test_outliers_are_left_out_and_counted(tiny_bundle, tmp_path):
    times = 100 + np.arange(120) / 30
    for k, wrong in {7: np.nan, 20: np.inf, 40: 1e300, 60: 1.7e9, 80: 0.0, 100: -1e9}.items():
        times[k] = wrong
    stream = Stream("tracker", times, vectors(120, 57), 0)
    present, run = replayed(write(tmp_path / "a.xdf", stream), tiny_bundle)
    assert len(present) == 100
    assert run.counts["face"].dropped["outlier"] == 6
    assert run.counts["face"].captured == 120
    assert len(run.source.segments) == 1
    assert run.source.notes == ["face (tracker): 6 samples left out, whose times are far from all others"]


KINDS = {
    "nan": lambda t, r: np.full_like(t, np.nan),
    "inf": lambda t, r: np.full_like(t, np.inf),
    "1e300": lambda t, r: np.full_like(t, 1e300),
    "growing": lambda t, r: np.exp(np.minimum(np.arange(len(t)) * 5.0, 700)),
    "decreasing": lambda t, r: t[::-1].copy(),
    "random": lambda t, r: r.uniform(-1e9, 1e9, len(t)),
    "any": lambda t, r: r.integers(0, 2**63, len(t)).view(np.float64),
    "two clocks": lambda t, r: np.where(np.arange(len(t)) // 7 % 2, t, t + 1.7e9),
    "constant": lambda t, r: np.full_like(t, 100.0),
    "apart": lambda t, r: 100 + np.arange(len(t)) * 1e6,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sound", [False, True])
def test_whatever_the_times_a_replay_ends_or_is_refused(tiny_bundle, tmp_path, kind, sound):
    stream = tone(1, 8_000) if sound else face(10)
    stream.times, stream.rate = KINDS[kind](stream.times, np.random.default_rng(0)), stream.rate * sound
    path = write(tmp_path / "a.xdf", stream)
    began = time.monotonic()
    try:
        with Run(XdfSource(path, max_gap=1.0), tiny_bundle) as run:
            ticks = sum(1 for _ in run)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert time.monotonic() - began < 20
    assert ticks <= 25 * len(stream.times) + 1


def test_a_stream_without_samples_is_not_taken_where_another_has_some(tiny_bundle, tmp_path):
    path = write(tmp_path / "zombie.xdf", empty(), face(2))
    present, run = replayed(path, tiny_bundle)
    assert len(present) == 50
    assert run.source.taken == {"face": "stream 2: tracker (57 channels at 30 Hz)"}
    assert run.source.notes == ["face: stream 1, tracker, has no samples; stream 2, tracker, is taken"]
    assert replayed(path, tiny_bundle, streams={"face": "tracker"})[0] == present
    assert replayed(path, tiny_bundle, streams={"face": "tracker#2"})[0] == present
    assert replayed(path, tiny_bundle, streams={"face": "tracker#1"})[0] == []
    other = write(tmp_path / "b.xdf", empty("face"), face(2))
    assert replayed(other, tiny_bundle)[1].source.taken == {
        "face": "stream 2: tracker (57 channels at 30 Hz)"
    }
    assert replayed(write(tmp_path / "c.xdf", empty(), audio(2)), tiny_bundle)[1].counts["face"].captured == 0


def test_of_streams_of_one_name_a_number_chooses(tiny_bundle, tmp_path):
    path = write(tmp_path / "a.xdf", face(2), face(4), audio(2))
    line = refused(path, tiny_bundle)
    assert "tracker#1 (57 channels at 30 Hz), tracker#2 (57 channels at 30 Hz)" in line
    assert "choose with --stream face=NAME#N" in line
    assert "face=NAME#N" in refused(path, tiny_bundle, streams={"face": "tracker"})
    for number, samples in (1, 60), (2, 120):
        _, run = replayed(path, tiny_bundle, streams={"face": f"tracker#{number}"})
        assert run.counts["face"].captured == samples
        assert run.source.taken["face"].startswith(f"stream {number}: tracker (")
    assert "no stream is called tracker#3" in refused(path, tiny_bundle, streams={"face": "tracker#3"})


@pytest.mark.parametrize(("of_face", "of_audio", "noted"), [(0, 0, "face audio"), (0, 1, "face"), (1, 1, "")])
def test_streams_without_clock_offsets_are_noted(tiny_bundle, tmp_path, of_face, of_audio, noted):
    path = write(tmp_path / "a.xdf", face(2, offsets=bool(of_face)), audio(2, offsets=bool(of_audio)))
    _, run = replayed(path, tiny_bundle)
    assert [line.split()[0] for line in run.source.notes] == noted.split()
    assert all(f"add --offset {line.split()[0]}=SECONDS" in line for line in run.source.notes)
    assert not replayed(write(tmp_path / "b.xdf", face(2, offsets=False)), tiny_bundle)[1].source.notes


def test_sound_is_used_or_counted(tiny_bundle, tmp_path):
    sound = tone(4, 16_000, hole=(1.0, 1.5))
    sound.times[1000:1010] = np.nan
    _, run = replayed(write(tmp_path / "a.xdf", sound), tiny_bundle)
    counts = run.counts["audio"]
    assert counts.captured == pytest.approx(3.5 * 25, abs=2)
    _, run = replayed(write(tmp_path / "b.xdf", joined(tone(2, 16_000), tone(2, 16_000))), tiny_bundle)
    assert run.counts["audio"].captured == 100
    assert len(run.source.segments) == 2


@pytest.mark.parametrize("channels", [(0.5, -0.5), (0.5, 0.0)])
def test_channels_in_antiphase_or_silent_do_not_lower_the_level(tiny_bundle, tmp_path, channels):
    sound = tone(4, 16_000)
    sound.values = (np.array(channels) * np.sin(2 * np.pi * 500 * sound.times)[:, None]).astype(np.float32)
    sound.format = "float32"
    with Run(XdfSource(write(tmp_path / "a.xdf", sound)), tiny_bundle) as run:
        levels = [
            run.observation.values["audio"][AUDIO.index("level")]
            for e in run
            if e.present["audio"] and e.t > 1
        ]
    assert np.median(levels) == pytest.approx(-9.03, abs=0.2)
    assert len(run.source.notes) == 1
