"""A recording as a source against alignment and model by hand, on scripted streams and on real files."""

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

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.estimate import Estimate, Latency
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.run import Run
from enrapt.realtime.sources import media
from enrapt.realtime.sources.demux import BrokenRecording
from enrapt.realtime.sources.media import MediaSource
from enrapt.realtime.sources.source import SourceFailure
from enrapt.realtime.streams.samples import SECOND, Frame, Sound, View
from tests.support.bundles import make_bundle
from tests.support.faces import FacesFrom

pytestmark = pytest.mark.live

MS = 1_000_000
CLIP = "grid_bbaf2n.mpg"  # a face and speech throughout, 2.96 s


class CountedFaces:
    """Stands for `FaceFeatures`: the features are the time, and every fifth picture has no face."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.closed = False

    def extract(self, picture, at) -> tuple[np.ndarray | None, View]:
        self.seen.append(at // MS)
        if len(self.seen) % 5 == 0:
            return None, View(0)
        return np.full(FACE.dim, at / SECOND, np.float32), View(1, 1)

    def close(self) -> None:
        self.closed = True


def frames(*milliseconds: int) -> list[Frame]:
    return [Frame(ms * MS, np.zeros((2, 2, 3), np.uint8)) for ms in milliseconds]


def sounds(*milliseconds: int) -> list[Sound]:
    """Each 40 ms of noise that ends at that time."""
    rng = np.random.default_rng(0)
    return [Sound((ms - 40) * MS, rng.normal(0, 0.1, 640).astype(np.float32)) for ms in milliseconds]


def source(recording, faces: CountedFaces | None = None, **options) -> MediaSource:
    """A source that reads a scripted recording."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(media, "Recording", lambda *arguments: recording)
        finder = FacesFrom(extractor=faces or CountedFaces())
        return MediaSource(recording.path, start=recording.start, faces=finder, **options)


def replay(run: Run) -> list[Estimate]:
    with run:
        return list(run)


def encoded(estimates: Iterable[Estimate]) -> list[bytes]:
    return [msgspec.json.encode(estimate.without_timing()) for estimate in estimates]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "enrapt ahead"]


def test_a_value_is_used_at_its_tick(scripted, tiny_bundle):
    run = Run(source(scripted([*frames(0, 40), *sounds(40, 80), *frames(120)])), tiny_bundle)
    estimates = replay(run)
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


def test_features_are_found_by_schema_under_the_bundles_names(scripted, tmp_path):
    modalities = [("voice", AUDIO.dim, AUDIO.name, None), ("left", FACE.dim, FACE.name, None)]
    bundle = make_bundle(tmp_path / "renamed.onnx", modalities)
    run = Run(source(scripted([*frames(0, 40), *sounds(40, 80)])), bundle)
    estimates = replay(run)
    assert [e.present for e in estimates] == [
        {"voice": False, "left": True}, {"voice": True, "left": True}, {"voice": True, "left": True},
    ]  # fmt: skip
    assert {name: counts.used for name, counts in run.counts.items()} == {"voice": 2, "left": 2}
    assert [list(e.latency_ms.extract) for e in estimates] == [["left"], ["left"], []]


def test_a_value_is_present_as_long_as_the_bundles_max_age_says(scripted, tmp_path):
    for max_age, present in ((None, 7), (1.0, 26), (0.04, 2)):
        modalities = [("face", FACE.dim, FACE.name, max_age), ("audio", AUDIO.dim, AUDIO.name, None)]
        bundle = make_bundle(tmp_path / f"{present}.onnx", modalities)
        estimates = replay(Run(source(scripted([*frames(0), *sounds(*range(40, 2001, 40))])), bundle))
        assert [e.present["face"] for e in estimates] == [True] * present + [False] * (51 - present)


@given(at=st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted), data=st.data())
def test_the_order_of_the_streams_in_the_file_changes_nothing(scripted, tiny_bundle, at, data):
    pictures = frames(*(5 * k for k in at))
    stretches = sounds(*range(40, data.draw(st.integers(1, 20)) * 40 + 1, 40))
    tidy = sorted([*pictures, *stretches], key=lambda item: item.originating_time)
    queues: list[list[Frame | Sound]] = [[*pictures], [*stretches]]
    mixed = []
    while any(queues):
        mixed.append(data.draw(st.sampled_from([q for q in queues if q])).pop(0))
    expected = encoded(replay(Run(source(scripted(tidy)), tiny_bundle)))
    assert encoded(replay(Run(source(scripted(mixed)), tiny_bundle))) == expected


@pytest.mark.parametrize("fps", [5, 25, 60, 120])
def test_no_face_is_extracted_from_a_picture_that_no_tick_would_use(scripted, tiny_bundle, fps):
    faces = CountedFaces()
    pictures = [Frame(k * SECOND // fps, np.zeros((2, 2, 3), np.uint8)) for k in range(2 * fps + 1)]
    run = Run(source(scripted(pictures, audio=None), faces), tiny_bundle)
    assert len(replay(run)) == 51
    assert faces.closed
    assert len(faces.seen) == min(2 * fps + 1, 51)
    counts = run.counts["face"]
    assert (counts.captured, counts.used) == (2 * fps + 1, len(faces.seen))
    assert counts.dropped["superseded"] == counts.dropped.total() == len(pictures) - len(faces.seen)


def test_what_the_recording_dropped_is_in_the_counts(scripted, tiny_bundle):
    recording = scripted(frames(0, 40))
    recording.found.pictures["corrupt"] = 3
    run = Run(source(recording), tiny_bundle)
    replay(run)
    counts = run.counts["face"]
    assert (counts.captured, counts.used, counts.dropped["corrupt"], counts.waiting) == (5, 2, 3, 0)


def test_a_stream_that_is_absent_is_not_waited_for(scripted, tiny_bundle):
    silent = replay(Run(source(scripted(frames(0, 40, 80), audio=None)), tiny_bundle))
    assert [e.present for e in silent] == [{"face": True, "audio": False}] * 3
    faces = CountedFaces()
    blind = replay(Run(source(scripted(sounds(40, 80), video=None), faces), tiny_bundle))
    assert [e.present for e in blind] == [
        {"face": False, "audio": False}, {"face": False, "audio": True}, {"face": False, "audio": True},
    ]  # fmt: skip
    assert not faces.closed  # it was never loaded


def test_a_stream_that_ends_early_is_not_waited_for_to_the_end(scripted, tiny_bundle, monkeypatch):
    monkeypatch.setattr("enrapt.realtime.sources.reading.SKEW", SECOND)

    def endless():
        yield from frames(0, 40)
        for k in count(1):
            yield from sounds(40 * k)

    with Run(source(scripted(endless())), tiny_bundle) as run:
        estimates = list(islice(run, 100))
    assert [e.present["face"] for e in estimates] == [True] * 8 + [False] * 92  # 40 ms and 250 ms


def test_a_recording_with_nothing_for_the_bundle_is_refused(scripted, tmp_path):
    bundle = make_bundle(tmp_path / "sound.onnx", [("audio", AUDIO.dim, AUDIO.name, None)])
    run = Run(source(scripted([], audio=None)), bundle)
    with pytest.raises(UserError) as caught:
        run.__enter__()
    assert str(caught.value) == ("scripted.mp4 gives face (face/1), but bundle 'tiny' takes audio (audio/1)")


def test_a_damaged_recording_gives_what_came_before(scripted, tiny_bundle):
    items = [*frames(0, 40), *sounds(40, 80), *frames(80, 120)]
    whole = encoded(replay(Run(source(scripted(items)), tiny_bundle)))
    run = Run(source(scripted(items, BrokenRecording(0.12))), tiny_bundle)
    estimates: list[Estimate] = []
    with pytest.raises(BrokenRecording, match=r"0\.12"), run:
        estimates.extend(run)
    assert encoded(estimates) == whole
    assert not threads()
    assert run.counts["face"].waiting == 0


@pytest.mark.parametrize("realtime", [False, True])
def test_however_the_iteration_is_left_the_threads_end(scripted, tiny_bundle, realtime):
    def endless():
        return Run(source(scripted(frames(40 * k)[0] for k in count()), realtime=realtime), tiny_bundle)

    with endless() as run:
        for _ in run:
            assert threads()
            break
    assert not threads()

    with pytest.raises(KeyboardInterrupt), endless() as run:  # noqa: PT012
        for _ in run:
            raise KeyboardInterrupt
    assert not threads()

    with endless() as run:
        held = iter(run)
        next(held)
        held.close()
        assert not threads()

    with endless() as run:
        held = iter(run)  # never closed
        next(held)
    assert not threads()


def test_stop_ends_after_the_current_tick(scripted, tiny_bundle):
    endless = source(scripted(frames(40 * k)[0] for k in count()))
    with Run(endless, tiny_bundle) as run:
        for estimate in run:
            if estimate.tick == 10:
                run.stop()
        assert estimate.tick == 10
        assert not threads()
    counts = run.counts["face"]
    assert counts.captured == counts.used + counts.dropped.total() >= 11


def test_an_error_in_either_thread_reaches_the_caller(scripted, tiny_bundle):
    class BrokenFaces(CountedFaces):
        def extract(self, picture, at) -> None:
            raise ZeroDivisionError

    with pytest.raises(SourceFailure, match="ZeroDivisionError"):
        replay(Run(source(scripted(frames(*range(0, 4000, 40))), BrokenFaces()), tiny_bundle))
    assert not threads()
    with pytest.raises(SourceFailure, match="LookupError: what it met"):
        replay(Run(source(scripted(frames(0, 40), LookupError("what it met"))), tiny_bundle))
    assert not threads()


def test_latencies(scripted, tiny_bundle):
    class SlowFaces(CountedFaces):
        def extract(self, picture, at) -> tuple[np.ndarray | None, View]:
            time.sleep(0.01)
            return super().extract(picture, at)

    run = Run(source(scripted(frames(0, 120), audio=None), SlowFaces()), tiny_bundle)
    latencies = [e.latency_ms for e in replay(run)]
    assert all(isinstance(latency, Latency) for latency in latencies)
    # Nothing is new at ticks 1 and 2.
    assert [list(latency.extract) for latency in latencies] == [["face"], [], [], ["face"]]
    assert [latency.total is not None for latency in latencies] == [True, False, False, True]
    for latency in (latencies[0], latencies[3]):
        assert 10 <= latency.extract["face"] <= latency.total
    assert {latency.tick for latency in latencies} == {None}  # as fast as possible, no tick has a time


def test_paced_no_estimate_comes_before_its_time(scripted, tiny_bundle):
    # In the file the sound leads, which live it would not.
    items = [*sounds(*range(40, 401, 40)), *frames(*range(0, 401, 40))]
    arrived: list[tuple[Estimate, float]] = []
    with Run(source(scripted(items), realtime=True), tiny_bundle) as run:
        arrived.extend((e, time.perf_counter()) for e in run)
    first = arrived[0][1]
    for estimate, now in arrived:
        assert now - first >= estimate.t - 0.005
        assert isinstance(estimate.latency_ms, Latency)
        assert estimate.latency_ms.total is not None
        assert estimate.latency_ms.tick >= 0
    assert arrived[-1][1] - first < 0.4 + 0.2
    assert encoded(e for e, _ in arrived) == encoded(replay(Run(source(scripted(items)), tiny_bundle)))


def test_the_clock_of_a_paced_recording_runs_on_its_axis_from_the_first_tick(scripted, tiny_bundle):
    assert source(scripted([])).clock is None
    pictures = scripted(frames(*range(1500, 1801, 40)), start=1.5, audio=None)
    paced = source(pictures, realtime=True)
    with Run(paced, tiny_bundle) as run:
        assert paced.clock() == 1500 * MS  # not begun
        time.sleep(0.5)
        for estimate in run:
            assert 0 <= paced.clock() / SECOND - estimate.t < 0.4  # generous, for a busy machine


# Real files.


def real(path: Path, face_model: Path, bundle: Path, **options) -> list[bytes]:
    run = Run(MediaSource(path, faces=FaceOptions(face_model), **options), bundle)
    result = encoded(replay(run))
    assert all(counts.waiting == 0 for counts in run.counts.values())
    return result


def test_replays_of_a_file_are_byte_identical_paced_or_not(shared, face_model, tiny_bundle):
    clip = shared / "clips" / CLIP
    fast = real(clip, face_model, tiny_bundle, end=1.0)
    assert len(fast) == 26  # the last stretch of sound ends at 1.0 s
    assert fast == real(clip, face_model, tiny_bundle, end=1.0)
    assert fast == real(clip, face_model, tiny_bundle, end=1.0, realtime=True)


def test_a_real_clip_has_face_and_voice_at_nearly_every_tick(shared, face_model, tiny_bundle):
    lines = real(shared / "clips" / CLIP, face_model, tiny_bundle)
    estimates = [msgspec.json.decode(line, type=Estimate) for line in lines]
    assert len(estimates) >= 74
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    for modality in ("face", "audio"):
        assert np.mean([e.present[modality] for e in estimates]) >= 0.95


def test_a_start_in_the_middle_is_tick_0(shared, face_model, tiny_bundle):
    first, *_ = real(shared / "clips" / CLIP, face_model, tiny_bundle, start=1.5, end=2.0)
    estimate = msgspec.json.decode(first, type=Estimate)
    assert (estimate.tick, estimate.t) == (0, 1.5)


def test_sound_alone(tmp_path, tiny_bundle):
    path = tmp_path / "noise.wav"
    noise = np.random.default_rng(0).normal(0, 3000, (1, 16000)).astype(np.int16)
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode()])
    estimates = replay(Run(path, tiny_bundle))
    assert [e.present for e in estimates] == [{"face": False, "audio": k > 0} for k in range(26)]
