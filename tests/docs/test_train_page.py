"""The programs of docs/train.md run as printed, with fewer rounds."""

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parents[2] / "docs" / "train.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_a_session_a_configuration_and_the_python_calls_work_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    session, calls = blocks("python")
    (configuration,) = blocks("toml")
    assert "rounds = 200" in configuration
    for part in ("train", "validation", "test"):
        (tmp_path / "sessions" / part).mkdir(parents=True)
        exec(session.replace("sessions/train/", f"sessions/{part}/"), {})
    Path("failures.toml").write_text(configuration.replace("rounds = 200", "rounds = 5\nstreams = 2"))
    exec(calls, {})
    printed = capsys.readouterr().out
    assert "Progress(round=5, rounds=5" in printed
    assert "'all': {'nll': " in printed
