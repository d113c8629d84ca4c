"""One run for every source: outputs, recording, controls from other threads, and how it ends."""

import datetime
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.controls import RESET
from enrapt.realtime.engine.calibration import calibrate
from enrapt.realtime.engine.estimate import Estimate
from enrapt.realtime.run import Run
from enrapt.realtime.sources.demux import BrokenRecording
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.sources.media import MediaSource
from enrapt.realtime.sources.offer import Offer
from enrapt.realtime.sources.session import SessionSource
from enrapt.realtime.sources.source import Source
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.streams.counts import Counts
from enrapt.realtime.streams.samples import SECOND, Control, Observation
from tests.support.devices import microphone
from tests.support.recordings import write
from tests.support.xdf_files import audio
from tests.support.xdf_files import write as write_xdf

TICK = SECOND // 25


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of sound: 51 ticks, all but the first with audio."""
    return write(tmp_path_factory.mktemp("recording") / "sound.wav", sound=(0, 2), rate=16_000)


@pytest.fixture(scope="module")
def sources(recording: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory):
    """By kind, makes a source or the path of one."""
    folder = tmp_path_factory.mktemp("sources")
    with Run(recording, tiny_bundle, record=folder / "session") as run:
        assert sum(1 for _ in run) == 51
    xdf = write_xdf(folder / "a.xdf", audio(2))
    return {
        "recording": lambda: recording,
        "recording, paced": lambda: MediaSource(recording, end=0.4, realtime=True),
        "XDF file": lambda: str(xdf),
        "session": lambda: folder / "session",
        "devices": lambda: LiveSource([microphone()]),
    }


@dataclass
class Ones(Source):
    """An endless source of faces of ones, or as many as there are; then perhaps an error."""

    n: int | None = None
    error: BaseException | None = None
    name = "ones"
    opened: bool = False
    closed: bool = False
    stopped: bool = False
    interrupt: bool = False  # whether Ctrl-C comes while it closes

    def offers(self, inputs):
        return [Offer("face", FACE.name, FACE.dim)]

    def open(self, wanted, rate):
        self.opened = True

    def __iter__(self) -> Iterator[Observation]:
        ones = np.ones(FACE.dim, np.float32)
        for tick in itertools.count() if self.n is None else range(self.n):
            yield Observation(tick, tick * TICK, {"face": ones, "audio": None}, {"face": 0, "audio": None})
            if self.stopped:
                return
        if self.error is not None:
            raise self.error

    @property
    def counts(self):
        return {"face": Counts()}

    def stop(self):
        self.stopped = True

    def close(self):
        self.closed = True
        if self.interrupt:
            raise KeyboardInterrupt


def untimed(estimates) -> list[Estimate]:
    return [estimate.without_timing() for estimate in estimates]


def read(path: Path) -> list[Estimate]:
    return [msgspec.json.decode(line, type=Estimate) for line in path.read_bytes().splitlines()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("kind", ["recording", "recording, paced", "XDF file", "session", "devices"])
def test_every_source_gives_estimates_to_caller_outputs_recorder_and_statistics(
    sources, tiny_bundle, tmp_path, kind
):
    lines, table, folder = tmp_path / "a.jsonl", tmp_path / "a.csv", tmp_path / "session"
    estimates = []
    run = Run(sources[kind](), tiny_bundle, to=[f"jsonl:{lines}", f"csv:{table}"], record=folder)
    with run:
        for estimate in run:
            estimates.append(estimate)
            assert run.observation.tick == estimate.tick
            assert estimate.present == {m: v is not None for m, v in run.observation.values.items()}
            if estimate.tick == 20:
                break
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    assert len(estimates) == (11 if kind == "recording, paced" else 21)
    assert all(e.engagement.mean == (0.4 if e.present["audio"] else 0.2) for e in estimates)
    present = sum(e.present["audio"] for e in estimates[1:])
    assert present >= 10 if kind == "devices" else present == len(estimates) - 1  # devices may be late
    written = read(lines)
    assert [e.stamped(None, []) for e in written] == estimates
    for estimate in written:
        if kind == "devices":  # which know the wall clock
            at = estimate.wall_clock.timestamp() - estimate.t
            assert abs(at - datetime.datetime.fromisoformat(run.summary()["started"]).timestamp()) < 0.0011
        else:
            assert estimate.wall_clock is msgspec.UNSET
    assert len(table.read_text().splitlines()) == 1 + len(estimates)
    reader = SessionReader(folder)
    assert list(reader.estimates()) == estimates
    assert not reader.lost
    assert run.statistics.ticks == len(estimates)
    summary = json.loads(json.dumps(run.summary()))
    assert reader.summary == summary
    assert summary["ticks"] == len(estimates)
    for counts in run.counts.values():
        assert counts.captured == counts.used + counts.dropped.total()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("enrapt")]


def test_what_a_file_says_of_its_beginning_is_the_wall_clock_of_its_replays(recording, tiny_bundle, tmp_path):
    path, lines = tmp_path / "dated.mka", [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    with av.open(str(recording)) as given, av.open(str(path), "w") as dated:
        dated.metadata["creation_time"] = "2026-03-01T10:00:00.5+01:00"
        stream = dated.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                dated.mux(packet)
    with Run(path, tiny_bundle, to=[f"jsonl:{lines[0]}"], record=tmp_path / "s", timing=False) as run:
        for estimate in run:
            if estimate.tick == 3:
                run.mark("smiles")
    first, *_, last = read(lines[0])
    assert first.wall_clock == datetime.datetime(2026, 3, 1, 9, 0, 0, 500_000, datetime.UTC)
    assert (last.wall_clock - first.wall_clock).total_seconds() == pytest.approx(last.t)
    assert run.summary()["started"] == "2026-03-01T09:00:00.500+00:00"
    assert [(e.tick, e.marks) for e in read(lines[0]) if e.marks] == [(4, ("smiles",))]
    assert [mark["label"] for mark in run.summary()["marks"]] == ["smiles"]
    reader = SessionReader(tmp_path / "s")
    assert (reader.began, reader.description["started_by"]) == (first.wall_clock, "recording")
    with Run(tmp_path / "s", tiny_bundle, to=[f"jsonl:{lines[1]}"], timing=False) as again:
        list(again)
    mark = b',"marks":["smiles"]'
    assert lines[0].read_bytes().replace(mark, b"") == lines[1].read_bytes().replace(mark, b"")


def test_a_recorded_replay_replays_with_the_same_estimates_also_reassembled(recording, tiny_bundle, tmp_path):
    folder, again = tmp_path / "session", tmp_path / "again"
    with Run(recording, tiny_bundle, record=folder) as run:
        estimates = untimed(run)
    reader = SessionReader(folder)
    assert len(list(reader.samples("audio"))) == run.counts["audio"].captured == 50
    assert reader.description["bundle"]["sha256"] == run.bundle.metadata.sha256
    for reassemble in (False, True):
        with Run(SessionSource(folder, reassemble), tiny_bundle) as run:
            assert untimed(run) == estimates
    with Run(folder, tiny_bundle, record=again) as run:
        assert untimed(run) == estimates
    with Run(again, tiny_bundle) as run:
        assert untimed(run) == estimates


@pytest.mark.parametrize("kind", ["recording", "XDF file", "session"])
def test_a_recorded_replay_has_the_samples_of_its_source(sources, tiny_bundle, tmp_path, kind):
    folder = tmp_path / "session"
    with Run(sources[kind](), tiny_bundle, record=folder) as run:
        estimates = untimed(run)
    samples = list(SessionReader(folder).samples("audio"))
    assert len(samples) == 50
    times = [sample.originating_time for sample, _ in samples]
    assert times == sorted(times)
    with Run(SessionSource(folder, reassemble=True), tiny_bundle) as run:
        assert untimed(run) == estimates
    assert run.counts["audio"].captured == 50


def test_without_timing_outputs_of_two_runs_are_byte_identical(recording, tiny_bundle, tmp_path):
    written = []
    for name in ("a", "b"):
        with Run(recording, tiny_bundle, to=[f"jsonl:{tmp_path / name}"], timing=False) as run:
            assert sum(1 for _ in run) == 51
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert b"latency" not in written[0]
    assert run.statistics.latency()["step"]  # the caller and the statistics still have them


def test_without_timing_two_recordings_of_a_replay_are_the_same_bytes(recording, tiny_bundle, tmp_path):
    began = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    for name in "ab":
        about = {"extracted": {"file": "x"}}
        with Run(
            recording, tiny_bundle, record=tmp_path / name, timing=False, started=began, about=about
        ) as run:
            assert len(list(run)) == 51
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    reader = SessionReader(tmp_path / "a")
    assert reader.started == "2024-05-01T10:00:00.000+00:00"
    assert reader.description["extracted"] == {"file": "x"}
    assert {estimate.latency_ms for estimate in reader.estimates()} == {msgspec.UNSET}


def test_a_recorded_session_says_where_its_recording_broke_off(tiny_bundle, tmp_path):
    with Run(Ones(5, BrokenRecording(0.2)), tiny_bundle, record=tmp_path / "s") as run:
        with pytest.raises(BrokenRecording):
            list(run)
        assert isinstance(run.broken, BrokenRecording)
    assert SessionReader(tmp_path / "s").summary["problems"] == ["the recording breaks off at 0.20 s"]


# Controls.


def test_a_mark_is_at_the_tick_that_it_was_made_after(tiny_bundle, tmp_path):
    with Run(Ones(5), tiny_bundle, record=tmp_path / "session") as run:
        for estimate in run:
            run.mark(f"after {estimate.tick}")
    marks = list(SessionReader(tmp_path / "session").marks())
    assert marks == [(tick * TICK, f"after {tick}") for tick in range(5)]


def test_a_mark_before_the_first_tick_is_at_the_start(recording, tiny_bundle, tmp_path):
    for realtime in (False, True):
        folder = tmp_path / f"{realtime}"
        source = MediaSource(recording, start=1.5, end=1.7, realtime=realtime)
        with Run(source, tiny_bundle, record=folder) as run:
            run.mark("begins")
            assert sum(1 for _ in run) == 6
        assert list(SessionReader(folder).marks()) == [(3 * SECOND // 2, "begins")]


def test_a_reset_takes_effect_at_the_next_tick_and_its_replay_is_the_same(tiny_bundle, tmp_path):
    estimates = []
    with Run(Ones(10), tiny_bundle, record=tmp_path / "session") as run:
        run.reset()
        for estimate in run:
            estimates.append(estimate)
            if estimate.tick in (3, 9):  # the last tick: nothing comes after that reset
                run.reset()
    ticks = [round(1000 * e.engagement.std) for e in estimates]
    assert ticks == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6]
    assert list(SessionReader(tmp_path / "session").marks()) == [(0, RESET), (4 * TICK, RESET)]
    with Run(tmp_path / "session", tiny_bundle) as run:
        assert untimed(run) == untimed(estimates)


@pytest.mark.parametrize("text", [str(RESET), RESET])
def test_a_mark_of_the_text_of_a_reset_resets_no_replay(tiny_bundle, tmp_path, text):
    with Run(Ones(10), tiny_bundle, record=tmp_path / "session") as run:
        estimates = []
        for estimate in run:
            estimates.append(estimate)
            if estimate.tick == 3:
                run.mark(text)
    with Run(tmp_path / "session", tiny_bundle) as run:
        assert untimed(run) == untimed(estimates)
        assert [label for _, label in run.source.marks] == [RESET]


def test_paused_the_model_gets_nothing_and_nothing_is_kept(recording, tiny_bundle, tmp_path):
    with Run(recording, tiny_bundle, record=tmp_path / "session") as run:
        for estimate in run:
            assert estimate.present["audio"] == (estimate.tick in (*range(1, 11), *range(31, 51)))
            assert (run.observation.values["audio"] is None) == (not estimate.present["audio"])
            if estimate.tick == 10:
                run.pause()
                assert run.paused
                assert run.source.paused
            if estimate.tick == 30:
                run.resume()
    reader = SessionReader(tmp_path / "session")
    assert [label for _, label in reader.marks()] == ["paused", "resumed"]
    assert [time // TICK for time, _ in reader.marks()] == [10, 30]
    kept = [sample.originating_time // TICK for sample, _ in reader.samples("audio")]
    assert not [tick for tick in kept if 20 < tick < 30]
    with Run(tmp_path / "session", tiny_bundle) as run:
        assert [e.tick for e in run if e.present["audio"]] == [*range(1, 11), *range(31, 51)]


def test_a_calibration_changes_estimates_after_a_minute_and_replays_the_same(tiny_bundle, tmp_path):
    with Run(Ones(1700), tiny_bundle, record=tmp_path / "session") as run:
        means = []
        for estimate in run:
            if estimate.tick == 9:
                run.calibrate()
            means.append(estimate.engagement.mean)
    assert run.profile is not None
    assert (run.profile.name, run.profile.seconds) == ("calibrated", 60.0)
    assert means[:1510] == [0.6] * 1510
    assert max(means[1510:]) < 0.55  # the bundle says 0.6 of a person who is neutral: 0.5
    reader = SessionReader(tmp_path / "session")
    assert [(time // TICK, label) for time, label in reader.marks()] == [(10, Control.CALIBRATE)]
    with Run(tmp_path / "session", tiny_bundle) as again:
        assert [estimate.engagement.mean for estimate in again] == means


def test_a_profile_changes_estimates_and_is_in_the_description(tiny_bundle, tmp_path):
    ticks = [{"face": np.ones(FACE.dim, np.float32)}] * 1500
    profile = calibrate(Bundle.load(tiny_bundle), "anna", ticks)
    with Run(Ones(20), tiny_bundle, profile=profile, record=tmp_path / "session") as run:
        assert run.description()["profile"] == {
            "name": "anna", "made": profile.made, "seconds": 60.0, "labelled": 0.0
        }  # fmt: skip
        assert run.status()["profile"] == "anna"
        assert {estimate.engagement.mean for estimate in run} != {0.6}
    assert SessionReader(tmp_path / "session").description["profile"]["name"] == "anna"
    source = Ones(5)
    source.people = 2
    with (
        pytest.raises(UserError, match="profile anna is of one person"),
        Run(source, tiny_bundle, profile=profile),
    ):
        pass


def test_every_control_works_from_another_thread_while_the_run_goes_on(tiny_bundle, tmp_path):
    with Run(Ones(), tiny_bundle, record=tmp_path / "session") as run:
        seen: list[Estimate] = []

        def control() -> None:
            until(lambda: len(seen) > 10)
            run.mark("here")
            run.pause()
            until(lambda: not seen[-1].present["face"])
            run.resume()
            until(lambda: seen[-1].present["face"])
            before = len(seen)
            run.reset()
            until(lambda: any(e.engagement.std == 0.001 for e in seen[before:]))
            run.calibrate()
            until(lambda: run.profile is not None)
            run.stop()

        thread = threading.Thread(target=control)
        thread.start()
        for estimate in run:
            seen.append(estimate)
        thread.join()
    assert [e.tick for e in seen] == list(range(len(seen)))
    labels = [label for _, label in SessionReader(tmp_path / "session").marks()]
    assert labels == ["here", "paused", "resumed", RESET, Control.CALIBRATE]


def test_start_calls_back_from_a_thread_until_the_end_of_the_context(tiny_bundle):
    called: list[tuple[int, str]] = []
    with Run(Ones(), tiny_bundle) as run:
        run.start(lambda estimate: called.append((estimate.tick, threading.current_thread().name)))
        until(lambda: len(called) > 20)
    n = len(called)
    assert [tick for tick, _ in called] == list(range(n))
    assert {name for _, name in called} == {"enrapt callback"}
    time.sleep(0.02)
    assert len(called) == n
    assert run.source.closed


def test_what_goes_wrong_in_a_callback_ends_the_run_at_once_with_a_line(tiny_bundle):
    lines, run = [], None

    def fail(estimate):
        raise ValueError("a\nbug")

    run = Run(Ones(), tiny_bundle, warn=lines.append)
    with pytest.raises(ValueError, match="bug"), run:  # noqa: PT012
        run.start(fail)
        until(lambda: run.source.stopped)
        until(lambda: lines)
    assert lines == ["the run has ended: ValueError: a bug"]


# How a run ends.


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("error", [UserError("the camera is gone"), BrokenRecording(0.4)])
def test_an_error_of_the_source_ends_the_run_with_its_files_finished(tiny_bundle, tmp_path, error, threaded):
    lines, folder = tmp_path / "a.jsonl", tmp_path / "session"
    estimates: list[Estimate] = []
    source = Ones(10, error)
    run = Run(source, tiny_bundle, to=[f"jsonl:{lines}"], record=folder)
    with pytest.raises(type(error)) as caught, run:  # noqa: PT012
        if threaded:
            run.start(estimates.append)
            run._thread.join()
        else:
            estimates.extend(run)
    assert caught.value is error
    assert caught.value.__context__ is None
    assert source.closed
    assert read(lines) == estimates
    assert len(estimates) == 10
    reader = SessionReader(folder)
    assert list(reader.estimates()) == estimates
    assert reader.ended is not None
    assert not reader.lost


def test_after_a_bug_files_are_not_given_their_names_and_the_session_counts_as_not_ended(
    tiny_bundle, tmp_path
):
    lines, folder = tmp_path / "a.jsonl", tmp_path / "session"
    source = Ones(10, ZeroDivisionError())
    with (
        pytest.raises(ZeroDivisionError),
        Run(source, tiny_bundle, to=[f"jsonl:{lines}"], record=folder) as run,
    ):
        list(run)
    assert source.closed
    assert not lines.exists()
    reader = SessionReader(folder)
    assert reader.ended is None
    assert len(list(reader.estimates())) == 10


def test_an_error_of_the_caller_is_raised_and_everything_is_closed(tiny_bundle):
    source = Ones()
    with pytest.raises(ZeroDivisionError), Run(source, tiny_bundle) as run:  # noqa: PT012
        for _ in run:
            raise ZeroDivisionError
    assert source.closed


def test_an_output_that_fails_at_the_end_leaves_the_session_ended(tiny_bundle, tmp_path, monkeypatch):
    source, lines, folder = Ones(10), tmp_path / "folder" / "a.jsonl", tmp_path / "session"
    lines.parent.mkdir()
    with pytest.raises(UserError), Run(source, tiny_bundle, to=[f"jsonl:{lines}"], record=folder) as run:  # noqa: PT012
        estimates = list(run)
        next(lines.parent.iterdir()).unlink()  # so that it cannot get its name
        lines.parent.rmdir()
    assert source.closed
    reader = SessionReader(folder)
    assert list(reader.estimates()) == estimates
    assert reader.ended is not None


@pytest.mark.parametrize("interrupted", ["stop", "apply_controls", "summary", "source"])
def test_a_second_ctrl_c_while_the_run_ends_loses_no_recorded_tick(
    tiny_bundle, tmp_path, monkeypatch, interrupted
):
    source, folder = Ones(10), tmp_path / "session"

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Run(source, tiny_bundle, record=folder) as run:  # noqa: PT012
        estimates = list(run)
        source.interrupt = interrupted == "source"
        if interrupted != "source":
            monkeypatch.setattr(run, interrupted, interrupt)
    assert source.closed
    reader = SessionReader(folder)
    assert list(reader.estimates()) == estimates
    assert len(list(reader.observations())) == 10


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"to": ["xml:a"]}, "jsonl:FILE"),
        ({"record": Path(__file__)}, "cannot be written"),
        ({"record": Path(__file__).parent}, "is not empty"),
        ({"context": {"mood": [1.0]}}, "no context 'mood'"),
        ({"bundle": "nowhere.onnx"}, "nowhere.onnx"),
    ],
)
def test_what_does_not_open_is_one_line_and_nothing_stays_open(tiny_bundle, options, complaint):
    source = Ones()
    with pytest.raises(UserError) as caught:
        Run(source, **{"bundle": tiny_bundle} | options).__enter__()
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert source.opened == source.closed


def test_pictures_and_sound_are_kept_only_of_devices_and_in_a_folder(recording, tiny_bundle, tmp_path):
    with pytest.raises(UserError, match="give one"):
        Run(recording, tiny_bundle, keep_media=True)
    run = Run(recording, tiny_bundle, keep_media=True, record=tmp_path / "session")
    with pytest.raises(UserError, match="no pictures and no sound to keep"):
        run.__enter__()
    assert not (tmp_path / "session").exists()


def test_a_run_that_was_not_entered_says_so(tiny_bundle):
    with pytest.raises(RuntimeError, match="enter the run first"):
        next(iter(Run(Ones(), tiny_bundle)))


def test_a_path_of_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        Run(tmp_path / "nowhere.mp4")


def test_a_recording_without_what_the_bundle_takes_names_both_sides(recording, three_bundle):
    with Run(recording, three_bundle) as run:
        assert {w.name: w.offer and w.offer.name for w in run.wanted} == {
            "gaze": None, "heart": None, "voice": "audio",
        }  # fmt: skip
        present = [estimate.present for estimate in run]
    assert present[1:] == [{"gaze": False, "heart": False, "voice": True}] * 50
    with pytest.raises(
        UserError, match=r"ones gives face \(face/1\), but bundle 'three' takes gaze \(gaze/1\)"
    ):
        Run(Ones(), three_bundle).__enter__()
    assert AUDIO.dim == run.wanted[2].dim
