"""What cannot be said does not end a run."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enrapt.cli.main import main
from enrapt.cli.styled import StyledConsole
from enrapt.contracts.console import Lenient, Plain, printable, say

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
FULL = pytest.param(
    ">/dev/full 2>&1", marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="none")
)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs the command with redirections of a shell, with a line of status at each estimate."""
    monkeypatch.chdir(tmp_path)
    program = "import sys; from enrapt.cli import view, main; view.REPORT = 0.0; sys.exit(main.main())"

    def run(redirections: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", f'"$@" {redirections}', "bash", *words],
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def ticks(path: Path) -> list[int]:
    return [json.loads(line)["tick"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("redirections", ["2>&1 | head -1", "2>&-", ">&-", ">&- 2>&- <&-", FULL])
def test_a_replay_with_files_is_whole(shell, sound, tiny_bundle, tmp_path, redirections):
    to = ["--to", "jsonl:a.jsonl", "--to", "csv:a.csv", "--record", "session"]
    done = shell(redirections, "replay", sound, "--bundle", tiny_bundle, *to)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert ticks(tmp_path / "a.jsonl") == list(range(101))
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 102
    assert json.loads((tmp_path / "session" / "session.json").read_text())["summary"]["ticks"] == 101


def test_estimates_to_a_closed_standard_output_are_refused(shell, sound, tiny_bundle):
    done = shell(">&-", "replay", sound, "--bundle", tiny_bundle, "--to", "-")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "enrapt: -: standard output is closed"


def test_what_cannot_be_written_is_dropped_and_later_text_is_not(capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        say("nobody", pipe)
        lenient = Lenient(pipe)
        lenient.write("x" * 100_000)
        lenient.flush()
        assert not lenient.isatty()
    lenient.write("closed")
    lenient.flush()
    Lenient(None).write("none")
    say("after")
    assert capsys.readouterr().err == "after\n"


def test_characters_that_a_stream_does_not_have(tmp_path):
    with (tmp_path / "text").open("w", encoding="ascii") as stream:
        say("320×240", stream)
    assert (tmp_path / "text").read_text() == "320\\xd7240\n"


@pytest.mark.live
def test_a_recording_goes_on_when_its_terminal_is_gone(sound, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "enrapt.cli.main", "replay", sound, "--bundle", tiny_bundle]
    process = subprocess.Popen(
        [*map(str, command), "--realtime", "--to", "jsonl:a.jsonl", "--no-timing"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(theirs)
    while not (tmp_path / "a.jsonl.part").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.close(ours)  # from now on, writing is an error
    assert process.wait(30) == 0
    assert ticks(tmp_path / "a.jsonl") == list(range(101))


@pytest.mark.live
@pytest.mark.parametrize("ignored", [False, True])  # as nohup does
def test_a_terminal_that_is_closed_hangs_up_and_the_files_are_finished(
    sound, tiny_bundle, tmp_path, monkeypatch, ignored
):
    monkeypatch.chdir(tmp_path)
    command = [
        "replay",
        sound,
        "--bundle",
        tiny_bundle,
        "--realtime",
        "--record",
        "s",
        "--to",
        "jsonl:a.jsonl",
    ]
    words = [sys.executable, "-m", "enrapt.cli.main", *map(str, command)]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGHUP, before)
    part = tmp_path / "a.jsonl.part"
    while not (part.exists() and part.stat().st_size > 5000):
        assert process.poll() is None
        time.sleep(0.02)
    while process.poll() is None:  # a shell and the kernel send it, each
        process.send_signal(signal.SIGHUP)
        time.sleep(0.001)
    assert process.returncode == (0 if ignored else 130)
    summary = json.loads((tmp_path / "s" / "session.json").read_text())["summary"]
    assert len(ticks(tmp_path / "a.jsonl")) == summary["ticks"]
    assert (summary["ticks"] == 101) is ignored


HOSTILE = (
    "a\x1b[2J\x1b]0;title\x07\u202eb\x9b1m"  # clears the screen, sets its title, turns what follows around
)


@pytest.mark.parametrize(
    "command",
    [
        ["replay", "{}.wav", "--to", "jsonl:{}.jsonl"],
        ["replay", "{}.wav", "--to", "{}:x"],
        ["replay", "{}.wav", "{}.wav", "-o", "{} results"],
        ["inspect", "{}.wav"],
        ["extract", "{}.wav", "-o", "{} sessions", "--jobs", "1"],
        ["study", "new", "{} study"],
        ["replay", "--{}", "{}.wav"],
        ["doctor", "--face-model", "{}.wav"],
    ],
)
def test_names_cannot_command_the_terminal(capfd, sound, tiny_bundle, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(sound, f"{HOSTILE}.wav")
    Path(f"{HOSTILE}.jsonl").touch()  # an output that is kept, which is said
    words = [word.format(HOSTILE) for word in command]
    bundle = ["--bundle", str(tiny_bundle)] if command[0] in ("replay", "extract") else []
    with contextlib.suppress(SystemExit):  # argparse's
        main([*words, *bundle])
    shown = "".join(capfd.readouterr())
    assert "[2J" in shown
    assert printable(shown) == shown


def test_styles_reach_a_terminal_and_those_in_text_do_not(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    console = StyledConsole(Plain(shown), force_terminal=True, color_system="standard")
    console.print(f"{HOSTILE}!", style="red")
    assert shown.getvalue() == "\x1b[31ma [2J ]0;title b 1m!\x1b[0m\n"


def test_bytes_of_a_name_that_are_no_text_are_shown_as_codes():
    assert printable("a\udcff\tb\nc\xa0d") == "a\\xff\tb\nc d"
