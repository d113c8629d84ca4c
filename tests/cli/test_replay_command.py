"""`enrapt replay` as a person runs it: what it leaves, and what it says when something is wrong."""

import os
import pty
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
    assert done.stderr == ""


def test_estimates_on_standard_output_and_nothing_else_there(enrapt, sound, tiny_bundle):
    done = enrapt("replay", sound, "--bundle", tiny_bundle, "--to", "-", "--end", "1")
    assert [estimate.tick for estimate in parsed(done.stdout)] == list(range(26))
    assert "26 ticks" in done.stderr


def test_without_an_output_it_says_how_to_keep_the_estimates(enrapt, sound, tiny_bundle):
    done = enrapt("replay", sound, "--bundle", tiny_bundle)
    assert "--to jsonl:estimates.jsonl" in done.stdout


def test_without_timing_two_replays_are_byte_identical(enrapt, sound, tiny_bundle, tmp_path):
    for name in ("a", "b"):
        enrapt("replay", sound, "--bundle", tiny_bundle, "--no-timing", "--to", f"jsonl:{name}.jsonl")
    first = (tmp_path / "a.jsonl").read_bytes()
    assert b"latency" not in first
    assert first == (tmp_path / "b.jsonl").read_bytes()


def test_start_and_end(enrapt, sound, tiny_bundle, tmp_path):
    enrapt("replay", sound, "--bundle", tiny_bundle, "--start", "1", "--end", "2", "--to", "jsonl:a.jsonl")
    estimates = read(tmp_path / "a.jsonl")
    assert (estimates[0].tick, estimates[0].t, estimates[-1].t) == (0, 1.0, 2.0)


# What a person can get wrong.


def damaged(make: Callable[[bytes], bytes], source: Path, name: str) -> Path:
    path = Path(name)
    path.write_bytes(make(source.read_bytes()))
    return path


def test_a_missing_file(enrapt, tiny_bundle):
    assert_refused(enrapt("replay", "nowhere.mp4", "--bundle", tiny_bundle), "nowhere.mp4")


def test_a_text_file_named_mp4(enrapt, tiny_bundle):
    Path("notes.mp4").write_text("Not a film.\n" * 50)
    assert_refused(enrapt("replay", "notes.mp4", "--bundle", tiny_bundle), "notes.mp4")


def test_a_truncated_header(enrapt, sound, tiny_bundle):
    cut = damaged(lambda data: data[:20], sound, "cut.wav")
    assert_refused(enrapt("replay", cut, "--bundle", tiny_bundle), "cut.wav")


def test_zero_bytes(enrapt, tiny_bundle):
    Path("empty.mkv").touch()
    assert_refused(enrapt("replay", "empty.mkv", "--bundle", tiny_bundle), "empty.mkv")


def test_no_stream(enrapt, tiny_bundle):
    Path("only.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nWords, and no sound.\n")
    assert_refused(enrapt("replay", "only.srt", "--bundle", tiny_bundle), "only.srt")


def test_a_damaged_bundle(enrapt, sound, tiny_bundle):
    bad = damaged(lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], tiny_bundle, "bad.onnx")
    assert_refused(enrapt("replay", sound, "--bundle", bad, "--to", "jsonl:a.jsonl"), "bad.onnx")
    assert not list(Path().glob("a.jsonl*"))


def test_a_foreign_bundle(enrapt, sound, tiny_bundle):
    model = onnx.load(tiny_bundle)
    del model.metadata_props[:]
    onnx.save(model, "foreign.onnx")
    assert_refused(enrapt("replay", sound, "--bundle", "foreign.onnx"), "not an enrapt bundle")


@pytest.mark.parametrize(
    ("address", "complaint"),
    [("jsonl:no/folder/a.jsonl", "cannot be written"), ("xml:a.xml", "jsonl:FILE, csv:FILE")],
)
def test_an_unwritable_output(enrapt, sound, tiny_bundle, tmp_path, address, complaint):
    done = enrapt("replay", sound, "--bundle", tiny_bundle, "--to", "csv:good.csv", "--to", address)
    assert_refused(done, complaint)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("span", [["--start", "-1"], ["--start", "2", "--end", "1"], ["--start", "99"]])
def test_an_impossible_span(enrapt, sound, tiny_bundle, span):
    assert_refused(enrapt("replay", sound, "--bundle", tiny_bundle, *span), "s")


def test_a_recording_that_breaks_off(enrapt, breaking, tiny_bundle, tmp_path):
    done = enrapt("replay", breaking, "--bundle", tiny_bundle, "--to", "jsonl:a.jsonl")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    estimates = read(tmp_path / "a.jsonl")
    assert f"breaks off at {estimates[-1].t:.1f}" in line
    assert 100 < len(estimates) < 150
    assert "samples" in done.stdout


# Ways to stop it.


def start(*arguments: object, **options: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)]
    # A shell lets its background jobs, and all that they start, ignore interrupts.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore
    finally:
        signal.signal(signal.SIGINT, before)


def test_interrupted_what_was_estimated_is_kept(sound, tiny_bundle, tmp_path):
    path = tmp_path / "a.jsonl"
    process = start("replay", sound, "--bundle", tiny_bundle, "--realtime", "--to", f"jsonl:{path}")
    part = path.with_name("a.jsonl.part")
    while not part.exists() or part.stat().st_size < 100:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert stderr == b""
    assert b"ticks in" in stdout
    assert 0 < len(read(path)) < 101
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_goes_away_is_no_fault(sound, tiny_bundle):
    process = start("replay", sound, "--bundle", tiny_bundle, "--realtime", "--to", "-")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"tick":0')
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 141
    assert stderr == b""


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
        options = [*option, "--no-timing", "--face-model", face_model, "--to", f"jsonl:{name}"]
        done = enrapt("replay", CLIP, *options)
        assert done.returncode == 0, done.stderr
        assert " late)" not in done.stdout
    assert (tmp_path / "paced").read_bytes() == (tmp_path / "quick").read_bytes()
