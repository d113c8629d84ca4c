"""Benchmarks of live sessions, a moment of each: in a process of their own, as they are run."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [
    pytest.mark.long,
    pytest.mark.live,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and cores of Linux"),
]


def run(name: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, BENCHMARKS / f"{name}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_recordings_that_are_killed(face_model: Path) -> None:
    done = run("kills", "--runs", 4, "--at-once", 2, "--face-model", face_model)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL: 3 runs, 0 of them before the session began; 0 failed" in done.stdout


def test_a_session_under_attack(face_model: Path) -> None:
    """Times are not judged here: other tests may run beside it."""
    done = run("attacked", "--rounds", 1, "--seconds", 2, "--face-model", face_model)
    assert done.stdout.count("contiguous") == 9, done.stdout + done.stderr
    assert "missing" not in done.stdout
    assert "socket" not in done.stderr  # what attackers do is no line of the session
