"""`enrapt replay` of several recordings: the folder of results, the table, resumption, mistakes, Ctrl-C."""

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enrapt.realtime.store.estimates_file import read_estimates
from tests.cli.conftest import write_sound


@pytest.fixture
def several(sound, breaking, tmp_path):
    """A folder: two whole recordings, one that breaks off, one that is none, and a text."""
    folder = tmp_path / "several"
    (folder / "anna").mkdir(parents=True)
    shutil.copy(sound, folder / "anna" / "noise.wav")
    shutil.copy(sound, folder / "[b] noise.wav")
    shutil.copy(breaking, folder / "breaking.m4a")
    (folder / "broken.mp4").write_text("Not a film.\n" * 50)
    (folder / "notes.txt").write_text("about the others\n")
    return folder


def table(path: Path) -> dict[str, dict[str, str]]:
    return {row["file"]: row for row in csv.DictReader(io.StringIO(path.read_text()))}


def test_a_folder_of_results_with_a_table(command, several, tiny_bundle, tmp_path):
    done = command("replay", several, "--bundle", tiny_bundle, "-o", "out")
    assert done.returncode == 1  # one failed, one is damaged
    rows = table(tmp_path / "out" / "results.csv")
    assert list(rows) == ["[b] noise.wav", "anna/noise.wav", "breaking.m4a", "broken.mp4"]
    whole = {
        "started": "",
        "duration_s": "4.0",
        "ticks": "101",
        "face_present": "0.0",
        "audio_present": "0.9901",
        "trouble": "",
    }
    assert rows["anna/noise.wav"] == {"file": "anna/noise.wav", **whole}
    assert "breaks off at" in rows["breaking.m4a"]["trouble"]
    assert rows["broken.mp4"]["trouble"].startswith("failed: ")
    assert rows["broken.mp4"]["ticks"] == ""
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")} == {
        "results.csv",
        *(f"{name}.{end}" for name in list(rows)[:3] for end in ("estimates.jsonl", "summary.json")),
    }
    assert len(read_estimates(tmp_path / "out" / "anna" / "noise.wav.estimates.jsonl")) == 101
    summary = json.loads((tmp_path / "out" / "breaking.m4a.summary.json").read_text())
    assert 100 < summary["ticks"] < 150
    assert "breaks off" in summary["problems"][-1]

    shown = done.stdout.splitlines()
    assert shown[0].split() == ["file", "duration", "ticks", "face", "%", "audio", "%", "trouble"]
    assert shown[2].split() == ["anna/noise.wav", "4.0", "s", "101", "0.0", "99.0"]
    assert "4 recordings: 0 done before (skipped), 1 failed" in shown[-1]
    progress = done.stderr.splitlines()
    assert progress[0] == "no recordings, left out: notes.txt"
    assert progress[1] == "recordings: 4, 1 at a time, to out" or os.cpu_count() != 2
    assert "4 of 4: anna/noise.wav: 101 ticks" in progress


def test_the_same_estimates_as_one_by_one(command, several, sound, tiny_bundle, tmp_path):
    options = ["--bundle", tiny_bundle, "--no-timing", "--start", "1", "--format", "csv", "--jobs", "2"]
    done = command("replay", several / "anna", several / "[b] noise.wav", *options)
    assert done.returncode == 0, done.stderr
    single = [option if option != "csv" else "jsonl" for option in options[:5]]
    command("replay", sound, *single, "--to", "csv:one.csv")
    one = (tmp_path / "one.csv").read_bytes()
    results = tmp_path / "enrapt-replay"
    assert (results / "anna" / "noise.wav.estimates.csv").read_bytes() == one
    assert (results / "[b] noise.wav.estimates.csv").read_bytes() == one


def test_it_resumes(command, several, tiny_bundle, tmp_path, without_processes):
    def replay(*options):
        done = command("replay", several, "--bundle", tiny_bundle, "-o", "out", *options)
        assert done.returncode in (0, 1)
        return done.stdout.splitlines()[-1], table(tmp_path / "out" / "results.csv")

    first = replay()
    said, rows = replay()
    assert "3 done before (skipped), 1 failed" in said
    assert rows == first[1]
    (several / "broken.mp4").unlink()
    write_sound(several / "broken.mp4", 1.0, "aac")
    said, rows = replay()
    assert "3 done before (skipped), 0 failed" in said
    assert rows["broken.mp4"]["ticks"] == "26"
    said, rows = replay("--end", "1")
    assert "0 done before" in said
    assert rows["anna/noise.wav"]["ticks"] == "26"


def test_modalities_are_the_bundles_and_sessions_and_patterns_work(
    command, several, three_bundle, tmp_path, without_processes
):
    command("replay", several / "anna" / "noise.wav", "--bundle", three_bundle, "--record", "all/session")
    shutil.copy(several / "anna" / "noise.wav", "all/noise.wav")
    done = command("replay", "all/*", "--bundle", three_bundle, "-o", "out", "--format", "parquet")
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "out" / "results.csv")
    assert list(rows) == ["noise.wav", "session"]
    for row in rows.values():
        assert [row[f"{m}_present"] for m in ("gaze", "heart", "voice")] == ["0.0", "0.0", "0.9901"]
    assert len(read_estimates(tmp_path / "out" / "session.estimates.parquet")) == 101


@pytest.mark.parametrize("option", [["-o", "out"], ["--jobs", "1"], ["--format", "jsonl"]])
def test_one_recording_with_an_option_for_several(command, sound, tiny_bundle, tmp_path, option):
    assert command("replay", sound, "--bundle", tiny_bundle, *option).returncode == 0
    assert len(list(tmp_path.rglob("noise.wav.summary.json"))) == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--to", "-"], "--to: is for one recording"),
        (["--record", "session"], "--record: is for one recording"),
        (["--realtime"], "--realtime: is for one recording"),
        (["--bundle", "nowhere.onnx"], "nowhere.onnx"),
        (["--context", "mood=1"], "no context 'mood'"),
        (["--face-model", "nowhere.task"], "nowhere.task"),
        (["--offset", "audio=soon"], "--offset audio=soon"),
        (["--stream", "audio"], "--stream audio"),
        (["missing.mp4"], "missing.mp4: no such file"),
        (["-o", "several/notes.txt"], "cannot be made"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(command, several, tmp_path, options, complaint):
    done = command("replay", "several", *options)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("enrapt: ")
    assert complaint in line
    assert [path.name for path in tmp_path.iterdir()] == ["several"]


def start(*arguments: object, **options: object) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)]
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore interrupts
    try:
        return subprocess.Popen(words, text=True, start_new_session=True, **options)  # type: ignore
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_soon_keeps_what_is_done_and_goes_on(
    sound, tiny_bundle, command, tmp_path, number
):
    folder = tmp_path / "some"
    folder.mkdir()
    shutil.copy(sound, folder / "a.wav")
    write_sound(folder / "b.wav", 400.0, "pcm_s16le")  # long enough to be interrupted
    out = tmp_path / "out"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start("replay", folder, "--bundle", tiny_bundle, "-o", out, "--jobs", "1", **pipes)
    while not (out / "b.wav.estimates.jsonl.part").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, number)  # as a terminal does: its processes get it, too
    began = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert "1 of 2 are left; the same command does them" in errors
    assert "Traceback" not in errors
    assert list(table(out / "results.csv")) == ["a.wav"]
    write_sound(folder / "b.wav", 1.0, "pcm_s16le")
    done = command("replay", folder, "--bundle", tiny_bundle, "-o", out)
    assert done.returncode == 0
    assert "1 done before (skipped), 0 failed" in done.stdout
    assert list(table(out / "results.csv")) == ["a.wav", "b.wav"]


def test_on_a_terminal_there_is_a_bar(several, tiny_bundle, tmp_path):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "70"}
    options = {"stdout": theirs, "stderr": theirs, "env": environment}
    process = start("replay", several, "--bundle", tiny_bundle, "-o", tmp_path / "out", **options)
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the other end has closed
            break
    os.close(ours)
    assert process.wait(10) == 1
    text = seen.decode()
    assert "━" in text
    assert "/4" in text
    assert "anna/noise.wav: 101 ticks" not in text
    assert "failed: " in text
