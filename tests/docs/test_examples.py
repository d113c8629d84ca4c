"""The examples of README and the live and replay pages run as they are printed."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from enrapt.cli.demo import CLIP
from enrapt.cli.main import main
from enrapt.contracts.schemas import FACE
from tests.support.mjpeg import Server

pytestmark = pytest.mark.live

REPOSITORY = Path(__file__).parents[2]


def examples(page, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, face_model):
    (tmp_path / "interview.mp4").symlink_to(CLIP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENRAPT_FACE_MODEL", str(face_model))
    return tmp_path


def test_the_readmes_example(server, folder, capsys):
    (program,) = examples("README.md")
    recording, live = program.split("with LiveSession")
    exec(recording.replace('Run("interview.mp4"', 'Run(MediaSource("interview.mp4", end=1)').replace(
        "import LiveSession, Run", "import LiveSession, MediaSource, Run"
    ), names := {})  # fmt: skip
    assert len((folder / "estimates.csv").read_text().splitlines()) == 27  # a header, 26 ticks
    shorter = live.replace('camera=0, mic="default"', f'camera="{server.address}", mic=None')
    exec("with LiveSession" + shorter.rstrip() + "\n        break\n", names)
    assert len(capsys.readouterr().out.splitlines()) == 27


def test_live_pushes_features(capsys):
    exec(examples("docs/live.md")[3].replace("range(50)", "range(20)"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 8
    assert lines[-1].endswith("True")


def test_live_records_two_people(server, folder, capsys):
    program = examples("docs/live.md")[2].replace("wait(60)", "wait(2)")
    for given in ('(0, "lapel 1")', '(1, "lapel 2")'):
        assert given in program
        program = program.replace(given, f'("{server.address}", None)')
    exec(program, {})
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {"anna", "ben"}
    assert sorted(path.name for path in (folder / "sessions/pair").iterdir()) == ["anna", "ben", "group.json"]


def test_replay_runs_any_source(folder, capsys):
    program, step, state = examples("docs/replay.md")[1:]
    whole = 'Run("interview.mp4"'
    assert whole in program
    short = program.replace(whole, 'Run(MediaSource("interview.mp4", end=1)').replace(
        "start=60, end=90", "end=1"
    )
    exec(short, names := {})
    assert len((folder / "estimates.jsonl").read_text().splitlines()) == len(names["means"]) == 26
    names["vector"] = np.zeros(FACE.dim, np.float32)
    exec(step, names)
    exec(state, names)
    assert (folder / "anna.npz").is_file()
    assert names["steps"][1] is None


def test_the_commands_of_several_recordings_and_of_tracks(folder, capsys):
    several, tracks = examples("docs/replay.md", "bash")[2:]
    for person in ("anna", "ben"):
        (folder / "interviews" / person).mkdir(parents=True)
        (folder / "interviews" / person / "camera.mp4").symlink_to(CLIP)
    for line in (several + tracks).splitlines():
        program, command, *rest = shlex.split(line, comments=True)
        short = ["--end", "1"] if command == "replay" else []
        assert (program, main([command, *rest, *short])) == ("enrapt", 0), line
    names = [f"{person}/camera.mp4.estimates" for person in ("anna", "ben")]
    for name in names:
        assert (folder / "enrapt-replay" / f"{name}.jsonl").is_file()
        assert (folder / "results" / f"{name}.csv").is_file()
    assert len((folder / "results" / "results.csv").read_text().splitlines()) == 3
    assert "video 1" in capsys.readouterr().out
