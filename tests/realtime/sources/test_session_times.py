"""Recorded sessions aligned again: offsets, gaps, and any times."""

from pathlib import Path

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.engine.estimate import Estimate
from enrapt.realtime.run import Run
from enrapt.realtime.sources.session import SessionSource
from enrapt.realtime.store.folder import SessionWriter
from enrapt.realtime.streams.samples import SECOND, Observation, Sample

TICK = SECOND // 25


def reassembled(folder: Path, bundle: Path) -> tuple[list[Estimate], Run]:
    with Run(SessionSource(folder, reassemble=True), bundle) as run:
        return list(run), run


def described(folder: Path, rows: list[tuple[Sample, int]], ticks: list[int]) -> Path:
    """A session of a face with these samples, and with ticks at these times."""
    description = {"schemas": {"face": FACE.name}, "dims": {"face": FACE.dim}, "rate": 25}
    with SessionWriter(folder, description) as writer:
        for sample, arrived in rows:
            writer.sample(sample, arrived)
        for k, at in enumerate(ticks):
            writer.observation(Observation(k, at, {"face": None}, {"face": None}))
        writer.close({})
    return folder


def face_samples(times: list[int]) -> list[tuple[Sample, int]]:
    return [(Sample("face", at, np.full(FACE.dim, k, np.float32), k), at) for k, at in enumerate(times)]


def test_an_offset_shifts_samples_and_as_recorded_it_is_refused(tiny_bundle, tmp_path):
    times = [at * TICK for at in range(50)]
    folder = described(tmp_path / "session", face_samples(times[:30]), times)
    with Run(SessionSource(folder, reassemble=True), tiny_bundle, offsets={"face": 0.4}) as run:
        present = [estimate.present["face"] for estimate in run]
    assert present == [False] * 10 + [True] * 36 + [False] * 4  # for 250 ms after the last
    with pytest.raises(UserError) as caught, Run(folder, tiny_bundle, offsets={"face": 0.4}):
        pass
    assert str(caught.value) == f"{folder}: --offset face moves samples, so add --reassemble"


def test_samples_that_share_no_time_with_the_session_are_refused(tiny_bundle, tmp_path):
    times = [at * TICK for at in range(50)]
    folder = described(tmp_path / "session", face_samples([10**18 + at for at in times]), times)
    with pytest.raises(UserError) as caught, Run(SessionSource(folder, reassemble=True), tiny_bundle):
        pass
    assert "the session lasts from 0.00 to 1.96 s" in str(caught.value)
    assert "--offset NAME=SECONDS (face=-1000000000.00 lets them begin together)" in str(caught.value)
    with Run(SessionSource(folder, reassemble=True), tiny_bundle, offsets={"face": -1e9}) as run:
        assert all(estimate.present["face"] for estimate in run)


def test_gaps_are_closed_where_there_are_no_ticks(tiny_bundle, tmp_path):
    times = [at * TICK for at in range(50)]
    late = [at + 10**15 for at in times]
    folder = described(tmp_path / "session", face_samples(times + late), times + late)
    estimates, run = reassembled(folder, tiny_bundle)
    assert len(estimates) == 100
    assert all(estimate.present["face"] for estimate in estimates)
    assert [s.reason for s in run.source.segments] == ["", "gap"]
    assert "a gap of" in str(run.source.segments[1])
    ticks = [at * TICK for at in range(3000)]
    folder = described(tmp_path / "lost", face_samples([ticks[0], ticks[-1]]), ticks)
    estimates, run = reassembled(folder, tiny_bundle)
    assert len(estimates) == 3000
    assert not run.source.notes


def test_samples_that_came_seconds_late_keep_their_times(tiny_bundle, tmp_path):
    times = [at * TICK for at in range(500)]
    rows = face_samples(times[:100] + times[200:350] + times[100:200] + times[350:])
    folder = described(tmp_path / "session", rows, times)
    estimates, run = reassembled(folder, tiny_bundle)
    assert all(estimate.age_ms["face"] == 0 for estimate in estimates)
    assert run.counts["face"].used == len(estimates) == 500
    assert len(run.source.segments) == 1


@pytest.mark.parametrize("seed", range(5))
def test_sessions_of_any_times_end_and_count_all_samples(tiny_bundle, tmp_path, seed):
    random = np.random.default_rng(seed)
    near = np.arange(200) * TICK
    absurd = random.integers(-(2**60), 2**60, 200)  # a session with times beyond that is refused
    times = [int(at) for at in np.where(random.random(200) < 0.1 * seed, absurd, near)]
    ticks = [int(at) for at in np.where(random.random(200) < 0.1 * seed, absurd, near)]
    folder = described(tmp_path / "session", face_samples(times), ticks)
    with Run(SessionSource(folder, reassemble=True, max_gap=1.0), tiny_bundle) as run:
        estimates = list(run)
    assert len(estimates) <= 400 * 25 + 1
    counts = run.counts["face"]
    assert counts.captured == counts.used + counts.dropped.total() == 200
