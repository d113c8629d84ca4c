"""A replay against the aligner and the engine by hand, on scripted streams and on real files."""

import threading
import time
from collections.abc import Iterable
from itertools import count, islice
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.engine.estimate import Estimate, Latency
from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.features.face import FaceFeatures
from enrapt.realtime.sources.recording import BrokenRecording, Recording
from enrapt.realtime.sources.replay import Replay
from enrapt.realtime.streams.samples import SECOND, Frame, Sound

MS = 1_000_000
CLIP = "grid_bbaf2n.mpg"  # a face and speech throughout, 2.96 s


class CountedFaces:
    """Stands for `FaceFeatures`: the features are the time, and every fifth picture has no face."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def extract(self, frame: Frame) -> np.ndarray | None:
        self.seen.append(frame.originating_time // MS)
        if len(self.seen) % 5 == 0:
            return None
        return np.full(FACE.dim, frame.originating_time / SECOND, np.float32)


def frames(*milliseconds: int) -> list[Frame]:
    return [Frame(ms * MS, np.zeros((2, 2, 3), np.uint8)) for ms in milliseconds]


def sounds(*milliseconds: int) -> list[Sound]:
    """Each 40 ms of noise that ends at that time."""
    rng = np.random.default_rng(0)
    return [Sound((ms - 40) * MS, rng.normal(0, 0.1, 640).astype(np.float32)) for ms in milliseconds]


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine(Bundle.load(tiny_bundle))


def replay(recording, engine: Engine, faces=None, **options) -> Replay:
    return Replay(recording, engine, faces or CountedFaces(), AudioFeatures(), **options)


def encoded(estimates: Iterable[Estimate]) -> list[bytes]:
    return [msgspec.json.encode(estimate.without_timing()) for estimate in estimates]


def running() -> bool:
    return any(thread.name == "enrapt ahead" for thread in threading.enumerate())


def test_what_is_there_is_used_at_its_tick(scripted, engine):
    run = replay(scripted([*frames(0, 40), *sounds(40, 80), *frames(120)]), engine)
    estimates = list(run)
    assert [(e.tick, e.t) for e in estimates] == [(0, 0.0), (1, 0.04), (2, 0.08), (3, 0.12)]
    assert [e.age_ms for e in estimates] == [
        {"face": 0.0, "audio": None},
        {"face": 0.0, "audio": 0.0},
        {"face": 40.0, "audio": 0.0},
        {"face": 0.0, "audio": 40.0},
    ]
    assert [e.present for e in estimates] == [
        {name: age is not None for name, age in e.age_ms.items()} for e in estimates
    ]
    # The bundle adds 0.4 for a face, 0.2 for audio, and its surprise is the mean of the features.
    assert [e.engagement.mean for e in estimates] == [0.6, 0.8, 0.8, 0.8]
    assert [e.surprise["face"] for e in estimates] == [0.0, 0.04, 0.04, 0.12]
    assert [e.engagement.std for e in estimates] == [0.001, 0.002, 0.003, 0.004]
    assert run.counts["face"].used == 3
    assert run.counts["audio"].used == 2


def test_the_engine_starts_anew(scripted, engine):
    first, second = (encoded(replay(scripted(frames(0, 40, 80)), engine)) for _ in range(2))
    assert first == second


@given(at=st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted), data=st.data())
def test_the_order_of_the_streams_in_the_file_changes_nothing(scripted, engine, at, data):
    pictures = frames(*(5 * k for k in at))
    stretches = sounds(*range(40, data.draw(st.integers(1, 20)) * 40 + 1, 40))
    tidy = sorted([*pictures, *stretches], key=lambda item: item.originating_time)
    queues: list[list[Frame | Sound]] = [[*pictures], [*stretches]]
    mixed = []
    while any(queues):
        mixed.append(data.draw(st.sampled_from([q for q in queues if q])).pop(0))
    assert encoded(replay(scripted(mixed), engine)) == encoded(replay(scripted(tidy), engine))


@pytest.mark.parametrize("fps", [5, 25, 60, 120])
def test_no_face_is_looked_for_where_no_tick_would_use_it(scripted, engine, fps):
    faces = CountedFaces()
    pictures = [Frame(k * SECOND // fps, np.zeros((2, 2, 3), np.uint8)) for k in range(2 * fps + 1)]
    run = Replay(scripted(pictures, has_audio=False), engine, faces, None)
    assert len(list(run)) == 51
    assert len(faces.seen) == min(2 * fps + 1, 51)
    counts = run.counts["face"]
    assert (counts.captured, counts.used) == (2 * fps + 1, len(faces.seen))
    assert counts.dropped == {"superseded": len(pictures) - len(faces.seen)}


def test_what_the_source_dropped_is_in_the_counts(scripted, engine):
    recording = scripted(frames(0, 40))
    recording.counts["corrupt"] = 3
    run = replay(recording, engine)
    list(run)
    counts = run.counts["face"]
    assert (counts.captured, counts.used, counts.dropped["corrupt"], counts.waiting) == (5, 2, 3, 0)


def test_a_stream_that_is_not_there_is_not_waited_for(scripted, engine):
    silent = replay(scripted(frames(0, 40, 80), has_audio=False), engine)
    assert [e.present for e in silent] == [{"face": True, "audio": False}] * 3
    blind = replay(scripted(sounds(40, 80), has_video=False), engine)
    assert [e.present for e in blind] == [
        {"face": False, "audio": False}, {"face": False, "audio": True}, {"face": False, "audio": True},
    ]  # fmt: skip


def test_a_stream_that_ends_early_is_not_waited_for_to_the_end(scripted, engine, monkeypatch):
    monkeypatch.setattr("enrapt.realtime.sources.reading.SKEW", SECOND)

    def endless():
        yield from frames(0, 40)
        for k in count(1):
            yield from sounds(40 * k)

    estimates = list(islice(replay(scripted(endless()), engine), 100))
    assert [e.present["face"] for e in estimates] == [True] * 8 + [False] * 92  # 40 ms and 250 ms


def test_a_recording_with_nothing_for_the_bundle_is_refused(scripted, engine):
    with pytest.raises(UserError, match="nothing of what the bundle takes"):
        Replay(scripted([], has_audio=False), engine, None, AudioFeatures())


def test_a_recording_that_breaks_gives_what_came_before(scripted, engine):
    items = [*frames(0, 40), *sounds(40, 80), *frames(80, 120)]
    whole = encoded(replay(scripted(items), engine))
    broken = replay(scripted(items, BrokenRecording(0.12)), engine)
    estimates: list[Estimate] = []
    with pytest.raises(BrokenRecording, match=r"0\.12"):
        estimates.extend(broken)
    assert encoded(estimates) == whole
    assert not running()
    assert broken.counts["face"].waiting == 0


@pytest.mark.parametrize("realtime", [False, True])
def test_however_it_is_left_the_thread_ends(scripted, engine, realtime):
    def endless():
        return scripted(frames(40 * k)[0] for k in count())

    for _ in replay(endless(), engine, realtime=realtime):
        assert running()
        break
    assert not running()

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        for _ in replay(endless(), engine, realtime=realtime):
            raise KeyboardInterrupt
    assert not running()

    held = iter(replay(endless(), engine, realtime=realtime))
    next(held)
    held.close()
    assert not running()


def test_a_fault_in_either_thread_reaches_the_caller(scripted, engine):
    class BrokenFaces:
        def extract(self, frame: Frame) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(replay(scripted(frames(*range(0, 4000, 40))), engine, BrokenFaces()))
    assert not running()
    with pytest.raises(LookupError):
        list(replay(scripted(frames(0, 40), LookupError()), engine))
    assert not running()


def test_latencies(scripted, engine):
    class SlowFaces(CountedFaces):
        def extract(self, frame: Frame) -> np.ndarray | None:
            time.sleep(0.01)
            return super().extract(frame)

    estimates = list(replay(scripted(frames(0, 120), has_audio=False), engine, SlowFaces()))
    latencies = [e.latency_ms for e in estimates]
    assert all(isinstance(latency, Latency) for latency in latencies)
    # Nothing is new at ticks 1 and 2.
    assert ["face" in latency.extract for latency in latencies] == [True, False, False, True]
    assert [latency.total is not None for latency in latencies] == [True, False, False, True]
    for latency in (latencies[0], latencies[3]):
        assert 10 <= latency.extract["face"] <= latency.total


def test_paced_no_estimate_comes_before_its_time(scripted, engine):
    # In the file the sound leads, which live it would not.
    items = [*sounds(*range(40, 401, 40)), *frames(*range(0, 401, 40))]
    run = replay(scripted(items), engine, realtime=True)
    arrived: list[tuple[Estimate, float]] = [(e, time.perf_counter()) for e in run]
    first = arrived[0][1]
    for estimate, now in arrived:
        assert now - first >= estimate.t - 0.005
        assert isinstance(estimate.latency_ms, Latency)
        assert estimate.latency_ms.total is not None
    assert arrived[-1][1] - first < 0.4 + 0.2
    assert encoded(e for e, _ in arrived) == encoded(replay(scripted(items), engine))


# Real files.


def real(path: Path, face_model: Path, engine: Engine, realtime: bool = False, **span: float) -> list[bytes]:
    with FaceFeatures(face_model) as faces:
        run = Replay(Recording(path, **span), engine, faces, AudioFeatures(), realtime=realtime)
        result = encoded(run)
    assert all(counts.waiting == 0 for counts in run.counts.values())
    return result


def test_replays_of_a_file_are_byte_identical_paced_or_not(shared, face_model, engine):
    clip = shared / "clips" / CLIP
    fast = real(clip, face_model, engine, end=1.0)
    assert len(fast) == 26  # the last stretch of sound ends at 1.0 s
    assert fast == real(clip, face_model, engine, end=1.0)
    assert fast == real(clip, face_model, engine, end=1.0, realtime=True)


def test_a_real_clip_has_face_and_voice_at_nearly_every_tick(shared, face_model, engine):
    estimates = [
        msgspec.json.decode(line, type=Estimate) for line in real(shared / "clips" / CLIP, face_model, engine)
    ]
    assert len(estimates) >= 74
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    for modality in ("face", "audio"):
        assert np.mean([e.present[modality] for e in estimates]) >= 0.95


def test_a_start_in_the_middle_is_tick_0(shared, face_model, engine):
    first, *_ = real(shared / "clips" / CLIP, face_model, engine, start=1.5, end=2.0)
    estimate = msgspec.json.decode(first, type=Estimate)
    assert (estimate.tick, estimate.t) == (0, 1.5)


def test_sound_alone(tmp_path, engine):
    path = tmp_path / "noise.wav"
    noise = np.random.default_rng(0).normal(0, 3000, (1, 16000)).astype(np.int16)
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode()])
    estimates = list(Replay(Recording(path), engine, None, AudioFeatures()))
    assert [e.present for e in estimates] == [{"face": False, "audio": k > 0} for k in range(26)]
