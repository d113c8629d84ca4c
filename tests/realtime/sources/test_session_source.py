"""Recorded sessions as sources: as recorded, or reassembled from their samples."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.controls import RESET
from enrapt.realtime.engine.estimate import Estimate
from enrapt.realtime.run import Run
from enrapt.realtime.sources.offer import Offer
from enrapt.realtime.sources.session import SessionSource
from enrapt.realtime.sources.source import Source
from enrapt.realtime.store.folder import SessionWriter
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.streams.samples import SECOND, Observation, Sample
from tests.support.bundles import make_bundle

TICK = SECOND // 25
DIMS = {"face": FACE.dim, "audio": AUDIO.dim}


def vector(seed: int, dim: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, dim).astype(np.float32)


def record(folder: Path, *, late: bool = False, rate: int | None = 25, reset: int | None = None) -> Path:
    """50 ticks of a face 10 ms old at each, but for every seventh, and of audio of age 0 up to tick 29.

    Args:
        late: whether the face of tick 20 came only after it, so the model was shown the one before.
    """
    schemas = {"face": FACE.name, "audio": AUDIO.name}
    description = {"schemas": schemas, "dims": DIMS, "rate": rate, "context": {}}
    with SessionWriter(folder, description) as writer:
        for tick in range(50):
            at = tick * TICK
            face = None if tick % 7 == 3 else vector(tick, FACE.dim)
            audio = vector(100 + tick, AUDIO.dim) if tick < 30 else None
            age = {"face": None if face is None else 10_000_000, "audio": None if audio is None else 0}
            values = {"face": face, "audio": audio}
            if late and tick == 20:
                values["face"], age["face"] = vector(19, FACE.dim), TICK + 10_000_000
            arrived = at + TICK if late and tick == 20 else at
            writer.sample(Sample("face", at - 10_000_000, face, tick), arrived)
            if audio is not None:
                writer.sample(Sample("audio", at, audio, tick), at)
            writer.observation(Observation(tick, at, values, age))
            if tick == reset:
                writer.mark(at, RESET)
        writer.mark(45 * TICK + 5, "smiles")
        writer.close({"ticks": 50})
    return folder


def replay(source: Source | Path, bundle: Path) -> tuple[list[Estimate], list[Observation], Run]:
    observations = []
    with Run(source, bundle) as run:
        estimates = []
        for estimate in run:
            estimates.append(estimate.without_timing())
            observations.append(run.observation)
    return estimates, observations, run


def same(a: Observation, b: Observation) -> bool:
    return (a.tick, a.time, a.age) == (b.tick, b.time, b.age) and all(
        x is y or (x is not None and y is not None and np.array_equal(x, y))
        for x, y in ((a.values[name], b.values[name]) for name in a.values)
    )


def test_as_recorded_the_model_gets_the_recorded_observations(tiny_bundle, tmp_path):
    folder = record(tmp_path / "session", late=True)
    estimates, observations, run = replay(folder, tiny_bundle)
    assert len(estimates) == 50
    assert all(map(same, observations, SessionReader(folder).observations()))
    assert estimates[20].age_ms == {"face": 50.0, "audio": 0.0}
    assert [e.present["face"] for e in estimates] == [tick % 7 != 3 for tick in range(50)]
    assert run.counts == {}
    assert run.source.name == "session"
    assert not run.source.problems
    assert run.source.clock is None


def test_reassembled_no_sample_is_late(tiny_bundle, tmp_path):
    source = SessionSource(record(tmp_path / "session", late=True), reassemble=True)
    estimates, observations, run = replay(source, tiny_bundle)
    assert len(estimates) == 50
    assert estimates[20].age_ms == {"face": 10.0, "audio": 0.0}
    assert (observations[20].values["face"] == vector(20, FACE.dim)).all()
    assert [e.present["audio"] for e in estimates] == [True] * 32 + [False] * 18  # for 100 ms after the last
    assert {m: (c.captured, c.used) for m, c in run.counts.items()} == {"face": (50, 50), "audio": (30, 30)}


def test_on_time_both_give_the_same_faces(tiny_bundle, tmp_path):
    folder = record(tmp_path / "session")
    recorded, _, _ = replay(folder, tiny_bundle)
    reassembled, _, _ = replay(SessionSource(folder, reassemble=True), tiny_bundle)
    assert recorded[:30] == reassembled[:30]
    assert recorded[33:] == reassembled[33:]


def test_another_rate_needs_reassembling(tmp_path):
    folder = record(tmp_path / "session")
    modalities = [("face", FACE.dim, FACE.name, None), ("audio", AUDIO.dim, AUDIO.name, None)]
    bundle = make_bundle(tmp_path / "fast.onnx", modalities, rate=50)
    with pytest.raises(UserError) as caught:
        replay(folder, bundle)
    assert str(caught.value) == f"{folder}: recorded at 25 ticks/s, not 50: add --reassemble"
    estimates, _, _ = replay(SessionSource(folder, reassemble=True), bundle)
    assert [e.t for e in estimates] == pytest.approx([tick / 50 for tick in range(99)])


def test_a_reset_and_marks_are_those_of_the_recording(tiny_bundle, tmp_path):
    folder = record(tmp_path / "session", reset=20)
    with Run(folder, tiny_bundle, record=tmp_path / "again") as run:
        ticks = [round(1000 * estimate.engagement.std) for estimate in run]
    assert ticks == [*range(1, 21), *range(1, 31)]
    marks = [(20 * TICK, RESET), (45 * TICK + 5, "smiles")]
    assert list(run.source.marks) == marks
    assert list(SessionReader(tmp_path / "again").marks()) == marks


def test_modalities_are_found_by_schema_under_the_bundles_names(tmp_path):
    folder = record(tmp_path / "session")
    modalities = [("voice", AUDIO.dim, AUDIO.name, None), ("left", FACE.dim, FACE.name, None)]
    bundle = make_bundle(tmp_path / "renamed.onnx", modalities)
    for source in (folder, SessionSource(folder, reassemble=True)):
        estimates, observations, _ = replay(source, bundle)
        assert list(estimates[0].present) == ["voice", "left"]
        assert (observations[0].values["left"] == vector(0, FACE.dim)).all()
        assert (observations[0].values["voice"] == vector(100, AUDIO.dim)).all()


def test_a_modality_that_was_not_recorded_is_missing_and_without_any_both_sides_are_named(
    three_bundle, tmp_path
):
    folder = record(tmp_path / "session")
    estimates, _, _ = replay(folder, three_bundle)
    assert estimates[0].present == {"gaze": False, "heart": False, "voice": True}
    gaze = make_bundle(tmp_path / "gaze.onnx", [("gaze", 3, "gaze/1", None)])
    with pytest.raises(UserError) as caught:
        replay(folder, gaze)
    assert str(caught.value) == (
        "session gives face (face/1), audio (audio/1), but bundle 'tiny' takes gaze (gaze/1)"
    )


class Three(Source):
    """Three modalities at 50 ticks; gaze only at ticks 0 and 10."""

    name = "three"

    @property
    def counts(self):
        return {}

    def offers(self, inputs):
        return [Offer("gaze", "gaze/1", 3), Offer("heart", None, 2), Offer("voice", AUDIO.name, AUDIO.dim)]

    def open(self, wanted, rate):
        self._dims = {w.name: w.dim for w in wanted}
        self._max_age = {w.name: w.max_age for w in wanted}

    def __iter__(self):
        newest: dict[str, tuple[int, np.ndarray]] = {}
        for tick in range(50):
            at = tick * TICK
            for seed, (name, dim) in enumerate(self._dims.items()):
                if name != "gaze" or tick in (0, 10):
                    newest[name] = at, vector(100 * seed + tick, dim)
                    if self.arrivals is not None:
                        self.arrivals.append((Sample(name, at, newest[name][1], tick), at))
            age = {name: at - then for name, (then, _) in newest.items()}
            there = {name for name in age if age[name] <= self._max_age[name]}
            yield Observation(
                tick,
                at,
                {name: newest[name][1] if name in there else None for name in age},
                {name: age[name] if name in there else None for name in age},
            )

    def stop(self):
        pass


def test_recorded_again_samples_and_observations_are_the_same(tiny_bundle, tmp_path):
    folder = record(tmp_path / "session", late=True)
    with Run(folder, tiny_bundle, record=tmp_path / "again") as run:
        assert sum(1 for _ in run) == 50
    first, second = SessionReader(folder), SessionReader(tmp_path / "again")
    assert all(map(same, first.observations(), second.observations()))
    for modality in DIMS:
        samples = zip(first.samples(modality), second.samples(modality), strict=True)
        for (a, a_arrived), (b, b_arrived) in samples:
            assert (a.originating_time, a.sequence, a_arrived) == (b.originating_time, b.sequence, b_arrived)
            assert (a.values is b.values is None) or np.array_equal(a.values, b.values)


def test_three_modalities_of_any_schema_are_recorded_and_reach_the_model_again(three_bundle, tmp_path):
    folder = tmp_path / "session"
    with Run(Three(), three_bundle, record=folder) as run:
        estimates, observations = [], []
        for estimate in run:
            estimates.append(estimate.without_timing())
            observations.append(run.observation)
    # Gaze is present for the second that the bundle says.
    assert [e.present["gaze"] for e in estimates] == [True] * 36 + [False] * 14
    assert [round(e.engagement.mean, 4) for e in estimates] == [0.9] * 36 + [0.5] * 14
    reader = SessionReader(folder)
    assert {name: (s.name or None, s.dim) for name, s in reader.schemas.items()} == {
        "gaze": ("gaze/1", 3), "heart": (None, 2), "voice": (AUDIO.name, AUDIO.dim),
    }  # fmt: skip
    for source in (folder, SessionSource(folder, reassemble=True)):
        again, shown, _ = replay(source, three_bundle)
        assert again == estimates
        assert all(map(same, shown, observations))


def test_a_session_that_was_not_ended_or_is_damaged_gives_what_is_there(tiny_bundle, tmp_path):
    folder = record(tmp_path / "session")
    cut = shutil.copytree(folder, tmp_path / "cut")
    data = (cut / "observations.arrows").read_bytes()
    (cut / "observations.arrows").write_bytes(data[: len(data) * 2 // 3])
    whole, _, _ = replay(folder, tiny_bundle)
    estimates, _, run = replay(cut, tiny_bundle)
    assert 0 < len(estimates) < 50
    assert estimates == whole[: len(estimates)]
    (line,) = run.source.problems
    assert "observations.arrows" in line


def test_a_session_without_a_tick_gives_none(tiny_bundle, tmp_path):
    description = {"schemas": {"face": FACE.name}, "dims": {"face": FACE.dim}, "rate": 25}
    with SessionWriter(tmp_path / "session", description):
        pass
    for reassemble in (False, True):
        assert replay(SessionSource(tmp_path / "session", reassemble), tiny_bundle)[0] == []


def test_a_folder_that_is_no_session_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a session"):
        Run(tmp_path)
