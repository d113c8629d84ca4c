"""`enrapt features`: a session's or a study's table."""

import shutil

import pandas as pd
import pytest

from tests.support.session_rows import three_batches


@pytest.fixture
def study(command, tmp_path):
    command("study", "new", "talks")
    three_batches(tmp_path / "talks/sessions/anna/1")
    shutil.copytree(tmp_path / "talks/sessions/anna/1", tmp_path / "talks/sessions/ben/1")
    return tmp_path / "talks"


def test_a_study_and_one_of_its_sessions(command, study, tmp_path):
    assert command("features", "talks", "-o", "t.csv").stdout == "t.csv: 104 ticks of 2 sessions\n"
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["person"].unique().tolist() == ["anna", "ben"]
    assert table["session"].unique().tolist() == ["anna/1", "ben/1"]
    done = command("features", study / "sessions/anna/1", "-o", "t.parquet", "--samples", "audio")
    assert done.stdout == "t.parquet: 52 samples of audio of 1 session\n"
    assert list(pd.read_parquet(tmp_path / "t.parquet"))[:4] == [
        "sequence",
        "time",
        "wall_clock",
        "audio.mel00",
    ]


def test_damage_is_said_and_the_rest_is_written(command, study, tmp_path):
    path = study / "sessions/ben/1/face.arrows"
    path.write_bytes(path.read_bytes()[:-100])
    done = command("features", "talks", "-o", "t.csv")
    assert done.returncode == 1
    assert "ben/1: " in done.stderr
    assert "face.arrows" in done.stderr
    assert len(pd.read_csv(tmp_path / "t.csv")) == 104


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["talks", "-o", "t.ods"], "ends in .csv or .parquet"),
        (["nowhere", "-o", "t.csv"], "nowhere: not a session"),
        (["talks", "-o", "t.csv", "--samples", "gaze"], "no session has samples of gaze"),
        (["empty", "-o", "t.csv"], "no session in it yet"),
    ],
)
def test_a_mistake_is_one_line(command, study, arguments, complaint):
    command("study", "new", "empty")
    done = command("features", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert complaint in line
