"""`enrapt extract`: sessions of recordings, the same bytes each time, resumption, mistakes, Ctrl-C."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from enrapt.cli import batch
from enrapt.cli.demo import CLIP
from enrapt.contracts.schemas import SPEAKING
from enrapt.realtime.run import Run
from enrapt.realtime.sources.session import SessionSource
from enrapt.realtime.store.reader import SessionReader
from enrapt.study.check import check_study
from enrapt.study.study import read_study
from tests.cli.conftest import in_this_process, write_sound
from tests.support.bundles import make_bundle
from tests.support.dialogue import needs_voices, speech, stereo
from tests.support.full_disk import files_no_larger_than, needs_limits


@pytest.fixture
def several(sound, breaking, tmp_path):
    """A folder: two whole recordings, one that breaks off, one that is none, and a text."""
    folder = tmp_path / "several"
    (folder / "anna").mkdir(parents=True)
    shutil.copy(sound, folder / "anna" / "1.wav")
    shutil.copy(sound, folder / "[b] noise.wav")
    shutil.copy(breaking, folder / "breaking.m4a")
    (folder / "broken.mp4").write_text("Not a film.\n" * 50)
    (folder / "notes.txt").write_text("about the others\n")
    return folder


@pytest.fixture
def extract(in_processes, without_processes):
    return in_processes


@pytest.fixture
def in_processes(command, tiny_bundle):
    def run(*arguments, status=0, bundle=tiny_bundle):
        done = command("extract", *arguments, "--bundle", bundle)
        assert done.returncode == status, done.stderr
        return done

    return run


def content(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def table(printed: str) -> dict[str, list[str]]:
    """The cells of each row, by its first."""
    rows = printed.split("\n\n")[0].splitlines()[1:]
    return {row.split("  ")[0].strip(): row.split()[1:] for row in rows}


def test_recordings_become_sessions_and_failures_a_line_each(extract, several, tmp_path):
    done = extract(several, "-o", "out", status=1)  # one failed, one is damaged
    assert done.stdout.splitlines()[0].split() == [
        "file",
        "duration",
        "face",
        "%",
        "audio",
        "%",
        "lost",
        "why",
    ]
    rows = table(done.stdout)
    assert rows["anna/1.wav"] == ["4.0", "s", "0.0", "99.0", "0"]
    assert "breaks off at" in " ".join(rows["breaking.m4a"])
    assert rows["broken.mp4"][0] == "failed:"
    assert "4 recordings: 0 done before (skipped), 1 failed." in done.stdout.splitlines()[-1]
    assert sum("failed: " in line for line in done.stderr.splitlines()) == 1
    names = {path.parent.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("session.json")}
    assert names == {"anna/1", "[b] noise", "breaking"}
    reader = SessionReader(tmp_path / "out" / "anna" / "1")
    assert reader.lost == []
    assert reader.ended is not None
    assert len(list(reader.observations())) == len(list(reader.estimates())) == 101
    assert len(list(reader.samples("audio"))) > 90
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"anna", "[b] noise", "breaking"}


def test_a_session_replays_to_the_estimates_that_it_has(extract, sound, tiny_bundle, tmp_path):
    extract(sound, "-o", "out")
    recorded = [estimate.without_timing() for estimate in SessionReader(tmp_path / "out/noise").estimates()]
    with Run(SessionSource(tmp_path / "out/noise"), tiny_bundle) as run:
        assert [estimate.without_timing() for estimate in run] == recorded
    with Run(SessionSource(tmp_path / "out/noise", reassemble=True), tiny_bundle) as run:
        assert [estimate.without_timing() for estimate in run] == recorded


def test_the_sessions_of_a_study_have_the_person_of_their_folder(extract, command, several, tmp_path):
    command("study", "new", "talks")
    (several / "broken.mp4").unlink()
    (several / "breaking.m4a").unlink()
    extract(several, "--study", "talks")
    study = read_study(tmp_path / "talks")
    assert {one.name: one.person for one in study.sessions} == {"anna/1": "anna", "[b] noise": "[b] noise"}
    assert [one.problems for one in check_study(study)] == [[], []]


def test_the_same_bytes_with_more_jobs_and_again(in_processes, several, tmp_path, monkeypatch):
    in_processes(several, "-o", "two", "--jobs", "3", status=1)
    monkeypatch.setattr(batch, "run_each", in_this_process)
    in_processes(several, "-o", "one", "--jobs", "1", status=1)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_faces_of_a_film_are_the_same_bytes_and_private(extract, face_model, tmp_path):
    (tmp_path / "films").mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(CLIP, tmp_path / "films" / name)
    options = ["--end", "1.2", "--face-model", face_model]
    shown = table(extract("films", "-o", "one", *options).stdout)
    assert shown["a.mp4"][:3] == ["1.2", "s", "100.0"]
    extract("films/a.mp4", "-o", "two", *options)
    assert content(tmp_path / "one/a") == content(tmp_path / "two/a")
    assert len(list(SessionReader(tmp_path / "one/a").samples("face"))) == 30
    if os.name == "posix":
        for path in (tmp_path / "one").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_real_people(extract, shared, face_model, tmp_path):
    clip = shared / "clips" / "grid_bbaf2n.mpg"
    rows = table(extract(clip, "-o", "out", "--face-model", face_model, bundle="default").stdout)
    assert rows["grid_bbaf2n.mpg"] == ["3.0", "s", "100.0", "98.7", "0"]


def test_what_is_done_is_skipped_with_the_same_table(extract, several, tmp_path):
    first = extract(several, "-o", "out", status=1)
    before = content(tmp_path / "out")
    again = extract(several, "-o", "out", status=1)  # a damaged one stays damaged
    assert table(again.stdout) == table(first.stdout)
    assert "3 done before (skipped), 1 failed" in again.stdout
    assert content(tmp_path / "out") == before
    (several / "broken.mp4").unlink()
    write_sound(several / "broken.mp4", 1.0, "aac")
    assert "3 done before (skipped), 0 failed" in extract(several, "-o", "out", status=1).stdout
    assert len(list(SessionReader(tmp_path / "out/broken").estimates())) == 26


def test_nothing_that_exists_is_replaced(extract, sound, three_bundle, tmp_path):
    extract(sound, "-o", "out")
    before = content(tmp_path / "out")
    other = extract(sound, "-o", "out", bundle=three_bundle, status=1)
    assert "another bundle or other options" in other.stdout
    (tmp_path / "more").mkdir()
    write_sound(tmp_path / "more" / "noise.wav", 1.0, "pcm_s16le")
    assert "a session of another recording" in extract("more", "-o", "out", status=1).stdout
    assert content(tmp_path / "out") == before
    shutil.rmtree(tmp_path / "out/noise")
    (tmp_path / "out/noise").mkdir()
    (tmp_path / "out/noise/mine.txt").write_text("mine")
    assert "is not a session and is kept" in extract(sound, "-o", "out", status=1).stdout
    assert content(tmp_path / "out") == {"noise/mine.txt": b"mine"}
    (tmp_path / "out/noise/mine.txt").unlink()
    extract(sound, "-o", "out")  # into the empty folder
    assert content(tmp_path / "out") == before


def test_a_live_session_is_kept(extract, command, sound, tiny_bundle, tmp_path):
    command("replay", sound, "--bundle", tiny_bundle, "--record", "out/noise")
    assert "another session and is kept" in extract(sound, "-o", "out", status=1).stdout


def start(*arguments: object) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)]
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore interrupts
    try:
        return subprocess.Popen(
            words, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """A folder with a short recording and one that is long enough to be interrupted."""
    folder = tmp_path_factory.mktemp("long")
    write_sound(folder / "a.wav", 1.0, "pcm_s16le")
    write_sound(folder / "b.wav", 60.0, "pcm_s16le")
    return folder


at_once: dict[str, bytes] = {}  # what `long` becomes, made by the first test that asks


@pytest.fixture
def whole(extract, long, tmp_path) -> dict[str, bytes]:
    if not at_once:
        extract(long, "-o", "at_once")
        at_once.update(content(tmp_path / "at_once"))
    return at_once


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_resumed_it_gives_the_same_bytes(extract, long, whole, tiny_bundle, tmp_path, number):
    out = tmp_path / "out"
    process = start("extract", long, "--bundle", tiny_bundle, "-o", out, "--jobs", "1")
    wait_for(out / ".b.part/session/session.json", process)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert sorted(path.name for path in out.iterdir()) == [".b.part", "a"]
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "1 of 2 are left; the same command does them" in errors
    assert "1 done before (skipped), 0 failed" in extract(long, "-o", out).stdout
    assert content(out) == whole


def test_two_processes_do_not_clash(extract, long, tiny_bundle, tmp_path):
    out = tmp_path / "out"
    process = start("extract", long, "--bundle", tiny_bundle, "-o", out, "--jobs", "1")
    wait_for(out / ".b.part/session/session.json", process)
    done = extract(long, "-o", out, status=1)
    assert "another process is making it" in done.stdout
    assert "1 done before (skipped), 1 failed" in done.stdout
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "0 done before (skipped), 0 failed" in printed
    assert SessionReader(out / "b").lost == []
    assert "2 done before (skipped), 0 failed" in extract(long, "-o", out).stdout


@needs_limits
def test_a_full_disk_is_one_line_and_nothing_is_left(extract, tmp_path):
    (tmp_path / "both").mkdir()
    for name, length in (("a", 1.0), ("b", 20.0)):
        write_sound(tmp_path / "both" / f"{name}.wav", length, "pcm_s16le")
    with files_no_larger_than(50_000):
        done = extract("both", "-o", "out", status=1)
    assert "cannot be written any more" in done.stdout
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert "1 done before (skipped), 0 failed" in extract("both", "-o", "out").stdout


def test_sessions_and_their_media_are_no_recordings(extract, several, sound, tmp_path):
    extract(sound, "-o", several / "sessions")
    done = extract(several / "anna", several / "sessions", "-o", "out")
    assert "left out: sessions/noise (a session)" in done.stderr
    done = extract(several / "sessions", "-o", "out", status=2)
    assert "only sessions, which have features already" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["twice"], "twice/a.mp3 and a.wav would both be session a"),
        (["within"], "session a/1 of a/1.wav would be within that of a.wav"),
        ([".hidden.wav"], "would be hidden by its name"),
        (["--study", "nowhere", "one.wav"], "nowhere: not a study"),
        (["-o", "one.wav", "one.wav"], "one.wav: is not a folder"),
        (["missing.mp4"], "missing.mp4: no such file"),
        (["one.wav", "--face-model", "nowhere.task"], "nowhere.task"),
        (["one.wav", "--context", "mood=1"], "no context 'mood'"),
        (["one.wav", "--address", "auto"], "--address: is of a Ray cluster"),
        (["one.wav", "--offset", "audio=soon"], "--offset audio=soon"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(extract, sound, tmp_path, arguments, complaint):
    (tmp_path / "within/a").mkdir(parents=True)
    (tmp_path / "twice").mkdir()
    for name in ("one.wav", ".hidden.wav", "within/a.wav", "within/a/1.wav", "twice/a.wav", "twice/a.mp3"):
        shutil.copy(sound, tmp_path / name)
    before = content(tmp_path)
    (line,) = extract(*arguments, status=2).stderr.splitlines()
    assert complaint.removeprefix("twice/") in line
    assert content(tmp_path) == before


def test_without_ray_the_message_says_how_to_get_it(extract, sound, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "enrapt.cli.on_ray", raising=False)
    (line,) = extract(sound, "--engine", "ray", status=2).stderr.splitlines()
    assert line == "enrapt: --engine ray needs Ray: pip install 'enrapt[ray]'"
    assert not (tmp_path / "enrapt-sessions").exists()


def test_what_it_is_made_from_is_in_the_session(extract, sound, tmp_path):
    extract(sound, "-o", "out", "--start", "1", "--max-gap", "inf")
    description = json.loads((tmp_path / "out/noise/session.json").read_text())["description"]
    made_from = description["extracted"]
    assert (made_from["file"], made_from["start"]) == ("noise.wav", 1.0)
    assert len(made_from["sha256"]) == 64
    again = extract(sound, "-o", "out", "--start", "1", "--max-gap", "inf")
    assert "1 done before" in again.stdout


@needs_voices
def test_each_channel_of_a_stereo_recording_is_a_speaker(command, without_processes, tmp_path):
    own, partner = speech([(0.5, 2.5)], 4.0), speech([(2.5, 3.8)], 4.0, "sv")
    recording = stereo(tmp_path / "talk.wav", own, partner)
    bundle = make_bundle(tmp_path / "two.onnx", [(n, 1, SPEAKING.name, 0.1) for n in ("own", "partner")])
    arguments = ("extract", recording, "-o", "out", "--bundle", bundle, "--partner-channel", "right")
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split()[:6] == ["file", "duration", "own", "%", "partner", "%"]
    shares = {"own": [], "partner": []}
    for observation in SessionReader(tmp_path / "out" / "talk").observations():
        for name, column in shares.items():
            value = observation.values.get(name)
            column.append(np.nan if value is None else value[0])
    assert np.nanmean(shares["own"][20:55]) > 0.8
    assert np.nanmean(shares["partner"][20:55]) < 0.1
    assert np.nanmean(shares["own"][75:90]) < 0.1
    assert np.nanmean(shares["partner"][75:90]) > 0.8
    again = command(*arguments)
    assert "1 done before (skipped)" in again.stdout
    other = command(*arguments[:-1], "left")  # another way of the same recording
    assert other.returncode == 1
    assert "talk" in other.stderr
