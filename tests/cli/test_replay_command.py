"""`enrapt replay` in a process of its own: its files, its summary, its errors, and ways to stop it."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx
import pytest

from enrapt.cli.demo import CLIP
from enrapt.realtime.engine.estimate import Estimate
from enrapt.realtime.store.reader import SessionReader
from tests.support.bundles import make_bundle


def parsed(lines: str | bytes) -> list[Estimate]:
    return [msgspec.json.decode(line, type=Estimate) for line in lines.splitlines()]


def read(path: Path) -> list[Estimate]:
    return parsed(path.read_bytes())


def assert_refused(done: "subprocess.CompletedProcess[str]", complaint: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("enrapt: ")
    assert complaint in line


def test_files_and_a_summary(enrapt, sound, tiny_bundle, tmp_path):
    done = enrapt("replay", sound, "--bundle", tiny_bundle, "--to", "jsonl:a.jsonl", "--to", "csv:a.csv")
    assert done.returncode == 0
    estimates = read(tmp_path / "a.jsonl")
    assert [e.tick for e in estimates] == list(range(101))
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 102
    assert "101 ticks" in done.stdout
    assert "audio      99.0% of ticks" in done.stdout
    assert "audio    100 captured = 100 used" in done.stdout
    assert "To keep" not in done.stdout
    assert done.stderr.splitlines()[0] == "replay: noise.wav, 0.0 to 4.0 s, about 101 ticks"


def test_estimates_on_standard_output_and_nothing_else_there(enrapt, sound, tiny_bundle):
    done = enrapt("replay", sound, "--bundle", tiny_bundle, "--to", "-", "--end", "1")
    assert [estimate.tick for estimate in parsed(done.stdout)] == list(range(26))
    assert "26 ticks" in done.stderr


def test_without_an_output_it_says_how_to_keep_the_estimates(command, sound, tiny_bundle):
    done = command("replay", sound, "--bundle", tiny_bundle)
    assert "--to jsonl:estimates.jsonl" in done.stdout


def test_a_recorded_replay_and_its_own_replays_give_the_same_estimates(command, sound, tiny_bundle, tmp_path):
    common = ["--bundle", tiny_bundle, "--no-timing"]
    done = command("replay", sound, *common, "--record", "session", "--to", "jsonl:a.jsonl")
    assert done.returncode == 0, done.stderr
    assert command("replay", "session", *common, "--to", "jsonl:b.jsonl").returncode == 0
    assert command("replay", "session", *common, "--reassemble", "--to", "jsonl:c.jsonl").returncode == 0
    first = (tmp_path / "a.jsonl").read_bytes()
    assert len(read(tmp_path / "a.jsonl")) == 101
    assert first == (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "c.jsonl").read_bytes()
    done = command("replay", sound, *common, "--record", "session")
    assert_refused(done, "is not empty")
    kept = command("replay", sound, *common, "--record", "other")
    assert "To keep" not in kept.stdout


def test_without_timing_two_replays_are_byte_identical(command, sound, tiny_bundle, tmp_path):
    for name in ("a", "b"):
        command("replay", sound, "--bundle", tiny_bundle, "--no-timing", "--to", f"jsonl:{name}.jsonl")
    first = (tmp_path / "a.jsonl").read_bytes()
    assert b"latency" not in first
    assert first == (tmp_path / "b.jsonl").read_bytes()


def test_start_and_end(command, sound, tiny_bundle, tmp_path):
    command("replay", sound, "--bundle", tiny_bundle, "--start", "1", "--end", "2", "--to", "jsonl:a.jsonl")
    estimates = read(tmp_path / "a.jsonl")
    assert (estimates[0].tick, estimates[0].t, estimates[-1].t) == (0, 1.0, 2.0)


# Errors that the user can fix.


def damaged(make: Callable[[bytes], bytes], source: Path, name: str) -> Path:
    path = Path(name)
    path.write_bytes(make(source.read_bytes()))
    return path


def test_a_missing_file(enrapt, tiny_bundle):
    assert_refused(enrapt("replay", "nowhere.mp4", "--bundle", tiny_bundle), "nowhere.mp4")


def test_a_text_file_named_mp4(command, tiny_bundle):
    Path("notes.mp4").write_text("Not a film.\n" * 50)
    assert_refused(command("replay", "notes.mp4", "--bundle", tiny_bundle), "notes.mp4")


def test_a_truncated_header(command, sound, tiny_bundle):
    cut = damaged(lambda data: data[:20], sound, "cut.wav")
    assert_refused(command("replay", cut, "--bundle", tiny_bundle), "cut.wav")


def test_zero_bytes(command, tiny_bundle):
    Path("empty.mkv").touch()
    assert_refused(command("replay", "empty.mkv", "--bundle", tiny_bundle), "empty.mkv")


def test_no_stream(command, tiny_bundle):
    Path("only.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nWords, and no sound.\n")
    assert_refused(command("replay", "only.srt", "--bundle", tiny_bundle), "only.srt")


def test_a_damaged_bundle(command, sound, tiny_bundle):
    bad = damaged(lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], tiny_bundle, "bad.onnx")
    assert_refused(command("replay", sound, "--bundle", bad, "--to", "jsonl:a.jsonl"), "bad.onnx")
    assert not list(Path().glob("a.jsonl*"))


def test_a_foreign_bundle(command, sound, tiny_bundle):
    model = onnx.load(tiny_bundle)
    del model.metadata_props[:]
    onnx.save(model, "foreign.onnx")
    assert_refused(command("replay", sound, "--bundle", "foreign.onnx"), "not an enrapt bundle")


@pytest.mark.parametrize(
    ("address", "complaint"),
    [("jsonl:no/folder/a.jsonl", "cannot be written"), ("xml:a.xml", "jsonl:FILE, csv:FILE")],
)
def test_an_unwritable_output(command, sound, tiny_bundle, tmp_path, address, complaint):
    done = command("replay", sound, "--bundle", tiny_bundle, "--to", "csv:good.csv", "--to", address)
    assert_refused(done, complaint)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_takes_nothing_of_the_recording(command, sound, three_bundle, tmp_path):
    gaze = make_bundle(tmp_path / "gaze.onnx", [("gaze", 3, "gaze/1", None), ("audio", 2, None, None)])
    complaint = "gives audio (audio/1), but bundle 'tiny' takes gaze (gaze/1), audio (2 numbers)"
    assert_refused(command("replay", sound, "--bundle", gaze), complaint)
    assert command("replay", sound, "--bundle", three_bundle).returncode == 0  # it takes sound as its voice


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--context", "mood=1"], "the bundle has no context 'mood'; it has none"),
        (["--context", "mood=happy"], "--context mood=happy: give NAME=X"),
        (["--stream", "face"], "--stream face: give MODALITY=NAME"),
        (["--stream", "face=a"], "a recording is replayed without streams"),
        (["--reassemble"], "a recording is replayed without reassemble"),
    ],
)
def test_options_that_do_not_fit(command, sound, tiny_bundle, options, complaint):
    assert_refused(command("replay", sound, "--bundle", tiny_bundle, *options), complaint)


def test_a_session_is_replayed_whole_and_as_fast_as_possible(command, sound, tiny_bundle):
    command("replay", sound, "--bundle", tiny_bundle, "--end", "0.4", "--record", "session")
    for option in (["--start", "1"], ["--end", "2"], ["--realtime"]):
        done = command("replay", "session", "--bundle", tiny_bundle, *option)
        assert_refused(done, f"a recorded session is replayed without {option[0][2:]}")


@pytest.mark.parametrize("span", [["--start", "-1"], ["--start", "2", "--end", "1"], ["--start", "99"]])
def test_an_impossible_span(command, sound, tiny_bundle, span):
    done = command("replay", sound, "--bundle", tiny_bundle, *span)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"(replay: noise.wav, of unknown duration\n.*\n)?enrapt: (start|end) .* s: .*\n", done.stderr
    )


def test_a_recording_that_breaks_off(command, breaking, tiny_bundle, tmp_path):
    done = command(
        "replay", breaking, "--bundle", tiny_bundle, "--to", "jsonl:a.jsonl", "--record", "session"
    )
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    estimates = read(tmp_path / "a.jsonl")
    assert f"breaks off at {estimates[-1].t:.1f}" in line
    assert 100 < len(estimates) < 150
    assert "samples" in done.stdout
    reader = SessionReader(tmp_path / "session")
    assert list(reader.estimates()) == estimates
    assert reader.ended is not None


# Ways to stop it.


def start(*arguments: object, **options: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)]
    # A shell lets its background jobs, and all that they start, ignore interrupts.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_the_estimates_so_far_are_kept(sound, tiny_bundle, tmp_path, number):
    path = tmp_path / "a.jsonl"
    process = start("replay", sound, "--bundle", tiny_bundle, "--realtime", "--to", f"jsonl:{path}")
    part = path.with_name("a.jsonl.part")
    while not part.exists() or part.stat().st_size < 100:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert stderr.startswith(b"replay: ")
    assert len(stderr.splitlines()) <= 2
    assert b"ticks in" in stdout
    assert 0 < len(read(path)) < 101
    assert list(tmp_path.iterdir()) == [path]


def test_a_closed_standard_output_ends_it_silently(sound, tiny_bundle):
    process = start("replay", sound, "--bundle", tiny_bundle, "--realtime", "--to", "-")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"tick":0')
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 141
    assert stderr.startswith(b"replay: ")
    assert len(stderr.splitlines()) <= 2


def test_on_a_terminal_it_draws(sound, tiny_bundle):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "60"}
    command = [sys.executable, "-m", "enrapt.cli.main", "replay", str(sound), "--bundle", str(tiny_bundle)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the other end has closed
            break
    os.close(ours)
    assert process.wait(10) == 0
    assert "audio" in seen.decode()
    assert "4.0 of 4.0 s" in seen.decode()
    assert b"\x1b[" in seen


@pytest.mark.long
def test_paced_by_the_clock_the_demo_clip_gives_the_same_bytes(enrapt, face_model, tmp_path):
    for name, option in (("paced", ["--realtime"]), ("quick", [])):
        part = ["--start", "15", "--end", "35"]  # the face goes
        options = [*option, *part, "--no-timing", "--face-model", face_model, "--to", f"jsonl:{name}"]
        done = enrapt("replay", CLIP, *options)
        assert done.returncode == 0, done.stderr
        assert " late)" not in done.stdout
    assert (tmp_path / "paced").read_bytes() == (tmp_path / "quick").read_bytes()
