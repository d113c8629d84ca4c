"""XDF files as sources: clocks that differ, gaps, sound, and damage."""

import json
import subprocess
import sys
import uuid

import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.controls import RESET
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.run import Run
from enrapt.realtime.sources.xdf import XdfSource
from enrapt.realtime.sources.xdf_chunks import BOUNDARY
from enrapt.realtime.sources.xdf_file import is_xdf
from enrapt.realtime.streams.samples import SECOND
from tests.support.bundles import make_bundle
from tests.support.xdf_files import Stream, audio, encoded, face, tone, vectors, write


def expected(bundle, streams, ticks):
    """Estimates of the newest value of each at each tick, by hand."""
    engine = Engine(Bundle.load(bundle))
    estimates = []
    first = min(s.times[0] - s.ahead for s in streams.values())
    ages = {"face": FACE.max_age, "audio": AUDIO.max_age}
    for tick in range(ticks):
        values = dict.fromkeys(ages)
        for modality, s in streams.items():
            at = np.rint((s.times - s.ahead - first) * 1e9)
            (there,) = np.nonzero(
                (at <= tick * 40_000_000) & (at >= tick * 40_000_000 - ages[modality] * 1e9)
            )
            finite = there.size and np.isfinite(s.values[there[-1]]).all()
            values[modality] = s.values[there[-1]] if finite else None
        step = engine.step(values)
        present = {m: v is not None for m, v in values.items()}
        estimates.append((round(step.mean, 4), round(step.std, 4), present))
    return estimates


def given(path, bundle):
    """What a run of the file gives, in the same form, and the run."""
    with Run(path if isinstance(path, XdfSource) else XdfSource(path), bundle) as run:
        return [(e.engagement.mean, e.engagement.std, e.present) for e in run], run


def test_estimates_are_those_of_the_features_also_of_a_clock_that_is_hours_ahead(tiny_bundle, tmp_path):
    streams = {"face": face(begin=100.0 + 5000, ahead=5000), "audio": audio()}
    streams["face"].values[40:60] = np.nan
    streams["face"].values[80, 7] = np.nan
    path = write(tmp_path / "a.xdf", *streams.values())
    estimates, run = given(path, tiny_bundle)
    assert estimates == expected(tiny_bundle, streams, len(estimates))
    assert len(estimates) == 100  # to the last sample, of the audio
    assert [present["face"] for _, _, present in estimates].count(False) > 10
    assert not run.source.problems
    for counts in run.counts.values():
        assert counts.captured == counts.used + counts.dropped.total() >= 100
    assert given(path, tiny_bundle)[0] == estimates


def test_three_modalities_of_any_schema_reach_the_model_as_long_as_their_max_age_says(three_bundle, tmp_path):
    gaze = Stream("eye tracker", 100 + np.array([0.0, 0.5, 2.0]), vectors(3, 3))  # irregular; `gaze/1`
    heart = Stream("heart", 100 + np.arange(100) / 25, vectors(100, 2, 1), 25)
    voice = audio(name="opensmile", begin=100.0)
    with Run(write(tmp_path / "a.xdf", gaze, heart, voice), three_bundle) as run:
        assert {w.name: w.max_age for w in run.wanted} == {
            "gaze": SECOND, "heart": 100_000_000, "voice": 100_000_000,
        }  # fmt: skip
        for estimate in run:
            ages = dict.fromkeys(("heart", "voice"), 0)
            newest = max(at for at in (0.0, 0.5, 2.0) if at <= estimate.t)
            gazes = estimate.t - newest <= 1.0
            assert estimate.present == {"gaze": gazes, "heart": True, "voice": True}
            assert (
                run.observation.age == {"gaze": round((estimate.t - newest) * 1e9) if gazes else None} | ages
            )
            assert estimate.engagement.mean == pytest.approx(0.9 if gazes else 0.5)
            for name, stream in (("heart", heart), ("voice", voice)):
                assert (run.observation.values[name] == stream.values[estimate.tick]).all()
    assert {name: counts.used for name, counts in run.counts.items()} == {
        "gaze": 3,
        "heart": 100,
        "voice": 100,
    }


def test_a_tracker_whose_rate_is_only_nominal_keeps_its_times(tiny_bundle, tmp_path):
    slow = face(8)
    slow.times = np.concatenate(
        (100 + np.arange(120) / 30, 104 + np.arange(60) / 15, 120 + np.arange(60) / 30)
    )
    estimates, _ = given(write(tmp_path / "a.xdf", slow), tiny_bundle)
    assert estimates == expected(tiny_bundle, {"face": slow}, len(estimates))
    present = np.array([p["face"] for _, _, p in estimates])
    assert present[:205].all()
    assert not present[207:500].any()
    assert present[500:].all()


@pytest.mark.long
@pytest.mark.parametrize("fast", [1.0, 1.0002])
def test_sound_has_its_features_at_its_time(tiny_bundle, tmp_path, fast):
    levels = {}
    with Run(write(tmp_path / "a.xdf", tone(fast=fast), face(6)), tiny_bundle) as run:
        for _ in run:
            if (values := run.observation.values["audio"]) is not None:
                levels[run.observation.time] = values[AUDIO.index("level")]
    assert len(levels) > 145
    for time, level in levels.items():
        part = (time - 40_000_000) % SECOND / SECOND
        if 0.51 < part < 0.95:
            assert level == pytest.approx(-9.03, abs=0.1)
        elif 0.01 < part < 0.45:
            assert level < -60


def test_sound_with_a_hole_is_missing_there_and_right_after_it(tiny_bundle, tmp_path):
    present = {}
    with Run(write(tmp_path / "a.xdf", tone(hole=(2.0, 3.25))), tiny_bundle) as run:
        for estimate in run:
            present[estimate.tick] = estimate.present["audio"]
            values = run.observation.values["audio"]
            if 3.6 < estimate.t < 3.9:
                assert values[AUDIO.index("level")] == pytest.approx(-9.03, abs=0.1)
    assert not any(present[tick] for tick in range(54, 81))
    assert all(present[tick] for tick in (*range(2, 50), *range(84, 149)))


def test_streams_are_found_by_their_names_or_by_what_fits(tiny_bundle, tmp_path):
    eeg = Stream("EEG", 100 + np.arange(99) / 9, np.zeros((99, 8)), 9)
    path = write(tmp_path / "a.xdf", face(name="left"), face(name="right"), audio(), eeg)

    def refused(path=path, **streams):
        with pytest.raises(UserError) as caught, Run(XdfSource(path, streams), tiny_bundle):
            pass
        assert "\n" not in str(caught.value)
        return str(caught.value)

    ambiguous = refused()
    assert "several streams fit face: left (57 channels at 30 Hz), right (57" in ambiguous
    assert "choose with --stream face=NAME" in ambiguous
    assert "no stream is called middle; it has left" in refused(face="middle")
    assert "EEG (8 channels at 9 Hz) does not fit: for audio give 44 channels" in refused(
        face="left", audio="EEG"
    )
    gives = refused(face="left", gaze="EEG")
    assert "a.xdf gives gaze, but bundle 'tiny' takes face (face/1), audio (audio/1)" in gives
    with Run(XdfSource(path, {"face": "right"}), tiny_bundle) as run:
        assert {m: c.captured for m, c in run.counts.items()} == dict.fromkeys(("face", "audio"), 0)
        assert sum(1 for _ in run) == 100
    assert {m: c.captured for m, c in run.counts.items()} == {"face": 120, "audio": 100}

    alone = write(tmp_path / "b.xdf", eeg)
    assert "no stream fits what the bundle takes (face: 57 channels" in refused(alone)
    assert "it has EEG (8 channels at 9 Hz)" in refused(alone)
    (tmp_path / "c.xdf").write_bytes(b"RIFF")
    assert not is_xdf(tmp_path / "c.xdf")
    assert "not an XDF file" in refused(tmp_path / "c.xdf")


def test_streams_of_the_bundles_names_are_preferred_to_others_that_fit(tiny_bundle, tmp_path):
    path = write(tmp_path / "a.xdf", face(2, name="left"), face(name="face"))
    _, run = given(path, tiny_bundle)
    assert run.counts["face"].captured == 120


def test_markers_are_marks_and_none_resets_the_model(tiny_bundle, tmp_path):
    marks = Stream("Markers", np.array([100.5, 101.0, 102.5]), ["smiles", RESET, "Zoë"], format="string")
    estimates, run = given(write(tmp_path / "a.xdf", face(), marks), tiny_bundle)
    assert run.source.marks == [(SECOND // 2, "smiles"), (SECOND, RESET), (5 * SECOND // 2, "Zoë")]
    ticks = [round(std * 1000) for _, std, _ in estimates]
    assert ticks[:30] == [*range(1, 31)]  # the tiny model counts its ticks


def test_outputs_get_markers_before_the_tick_that_follows(tiny_bundle, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(Outputs, "mark", lambda self, t, label: written.append((t, label)))
    monkeypatch.setattr(Outputs, "write", lambda self, estimate, observation: written.append(estimate.t))
    marks = Stream("Markers", np.array([100.0, 100.41, 100.42]), ["a", "b", "c"], format="string")
    given(write(tmp_path / "a.xdf", face(), marks), tiny_bundle)
    assert written[:2] == [(0.0, "a"), 0.0]
    assert written[11:15] == [0.4, (0.41, "b"), (0.42, "c"), 0.44]


@pytest.mark.parametrize("cut", [1, 5, 30, 60, 200, 1000, 3000])
def test_the_whole_part_of_a_file_that_was_cut_is_replayed(tiny_bundle, tmp_path, cut):
    whole, _ = given(write(tmp_path / "a.xdf", face(), audio()), tiny_bundle)
    path = tmp_path / "b.xdf"
    path.write_bytes((tmp_path / "a.xdf").read_bytes()[:-cut])
    estimates, run = given(path, tiny_bundle)
    (line,) = run.source.problems
    assert "cannot be read" in line or "cut off" in line
    assert len(estimates) > 60
    both = sum(1 for _, _, present in estimates if all(present.values()))
    assert estimates[:both] == whole[:both]


def test_whatever_is_cut_no_number_is_made_up(tiny_bundle, tmp_path):
    streams = {"face": face(1, 25), "audio": audio(1, begin=100.0)}  # the last samples are at a tick
    data = write(tmp_path / "a.xdf", *streams.values()).read_bytes()
    header = data.index(b"</info>", data.index(b"opensmile")) + len(b"</info>")
    path = tmp_path / "b.xdf"
    for end in range(header, len(data), 47):
        path.write_bytes(data[:end])
        with Run(XdfSource(path), tiny_bundle) as run:
            for _ in run:
                for modality, values in run.observation.values.items():
                    assert values is None or (streams[modality].values == values).all(axis=1).any()
        assert len(run.source.problems) == 1
    for end in range(0, header, 97):
        path.write_bytes(data[:end])
        with pytest.raises(UserError) as caught:
            given(XdfSource(path, {"audio": "opensmile"}), tiny_bundle)
        assert "\n" not in str(caught.value)


def test_a_recording_that_was_not_ended_says_so(tiny_bundle, tmp_path):
    estimates, run = given(write(tmp_path / "a.xdf", face(), ended=False), tiny_bundle)
    assert run.source.problems == ["cut off: the recording of tracker was not ended"]
    assert len(estimates) == 100


def test_after_damage_reading_goes_on_at_the_next_boundary(tiny_bundle, tmp_path):
    chunks = encoded([face(), audio()])
    damaged = next(k for k, c in enumerate(chunks) if BOUNDARY in c and k > 10)
    broken = (
        b"".join(chunks[: damaged + 1]) + b"\7" * len(chunks[damaged + 1]) + b"".join(chunks[damaged + 2 :])
    )
    path = tmp_path / "a.xdf"
    path.write_bytes(broken)
    estimates, run = given(path, tiny_bundle)
    present = [p["face"] and p["audio"] for _, _, p in estimates]
    (line,) = run.source.notes
    assert "bytes, from" in line
    assert not run.source.problems
    assert all(present[1:25])
    assert all(present[76:])
    assert not all(present)


def test_sound_is_the_voice_of_a_bundle_that_calls_audio_features_so(tmp_path):
    bundle = make_bundle(tmp_path / "voice.onnx", [("voice", AUDIO.dim, AUDIO.name, None)])
    with Run(write(tmp_path / "a.xdf", tone(2, 16_000)), bundle) as run:
        present = [estimate.present["voice"] for estimate in run]
    assert sum(present) >= 48
    assert run.counts["voice"].used == sum(present)


def test_the_command(tiny_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.xdf", face(name="left"), face(name="right"), tone(4, 16_000))
    left = ["--stream", "face=left"]

    def enrapt(*arguments):
        """Exit status, standard output and error."""
        return main(["replay", *map(str, arguments), "--bundle", str(tiny_bundle)]), *capsys.readouterr()

    status, out, err = enrapt(path, *left, "--to", "jsonl:a.jsonl")
    assert status == 0
    assert "enrapt:" not in err
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert len(lines) == 101  # to the end of the sound
    assert json.loads(lines[50])["present"] == {"face": True, "audio": True}
    assert "face     120 captured" in out

    path.write_bytes(path.read_bytes()[:-9])
    status, _, err = enrapt(path, *left)
    assert status == 1
    assert "cannot be read; what they held is lost" in err
    for options, why in (
        ([path], "several streams fit face"),
        ([path, *left, "--start", "1"], "an XDF file is replayed without"),
        ([path, "--stream", "left"], "give MODALITY=NAME"),
        ([path, *left, "--stream", "face=right"], "each modality once"),
        ([tmp_path / "a.jsonl", *left], "a recording is replayed without streams"),
        ([tmp_path / f"{uuid.uuid4()}.xdf"], "no such file"),
    ):
        status, _, err = enrapt(*options)
        assert status == 2
        (line,) = err.splitlines()
        assert why in line


def test_without_pyxdf_the_command_says_what_to_install(tmp_path):
    path = write(tmp_path / "a.xdf", face())
    (tmp_path / "pyxdf.py").write_text("raise ImportError")
    program = "import sys; sys.path.insert(0, '.'); from enrapt.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "replay", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'enrapt[lsl]'" in done.stderr
