"""`enrapt calibrate`: from a recording or a labelled session to a profile that changes estimates."""

import json
from pathlib import Path

import msgspec
import numpy as np
import platformdirs
import pytest

from enrapt.realtime.store import profiles
from enrapt.study.labels import path_of, write
from enrapt.study.ratings import Trace
from tests.cli.conftest import write_sound


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / "data" / name)
    return tmp_path / "data" / "enrapt" / "profiles"


@pytest.fixture
def calibrate(command, tiny_bundle):
    def run(*arguments, status=0, bundle=tiny_bundle):
        done = command("calibrate", *arguments, "--bundle", bundle)
        assert done.returncode == status, done.stderr
        return done

    return run


@pytest.fixture
def long_sound(tmp_path):
    path = tmp_path / "talk.wav"
    write_sound(path, 10.0, "pcm_s16le")
    return path


def means(command, bundle, source, *arguments):
    done = command("replay", source, "--bundle", bundle, "--to", "jsonl:e.jsonl", "--overwrite", *arguments)
    assert done.returncode == 0, done.stderr
    assert ("profile anna: of " in done.stderr) == ("--profile" in arguments)
    return [json.loads(line)["engagement"]["mean"] for line in Path("e.jsonl").read_text().splitlines()]


def test_a_profile_of_a_recording_changes_estimates_until_it_is_deleted(
    calibrate, command, tiny_bundle, long_sound, folder
):
    before = means(command, tiny_bundle, long_sound)
    assert set(before[1:]) == {0.4}
    printed = calibrate("--profile", "anna", long_sound).stdout
    assert printed.splitlines()[-1].endswith("profile anna, of 10 s, neutral")
    after = means(command, tiny_bundle, long_sound, "--profile", "anna")
    assert min(after[1:]) > 0.41  # towards 0.5
    (row,) = calibrate("--list").stdout.splitlines()
    assert row.split()[0] == "anna"
    assert row.endswith("10 s, neutral")
    assert "profile anna exists" in calibrate("--profile", "anna", long_sound, status=2).stderr
    assert calibrate("--delete", "anna").stdout == "profile anna: deleted\n"
    assert list(folder.iterdir()) == []
    assert "no profiles" in calibrate("--list").stdout
    (line,) = command("replay", long_sound, "--profile", "anna").stderr.splitlines()[-1:]
    assert "no profile anna" in line


def test_no_more_than_a_minute_is_taken_for_neutral(calibrate, tmp_path):
    write_sound(tmp_path / "a.wav", 70.0, "pcm_s16le")
    calibrate("--profile", "anna", "a.wav", "--start", "5")
    assert profiles.load("anna").seconds == 60.0
    calibrate("--profile", "short", "a.wav", "--duration", "8")
    assert profiles.load("short").seconds == 8.0


def test_labels_of_a_session_decide_the_level(calibrate, command, tiny_bundle, long_sound, tmp_path):
    command("replay", long_sound, "--bundle", tiny_bundle, "--record", "session")
    times = np.arange(0.0, 10.0, 0.1)
    write(
        Trace("ben", "engagement", times, np.full(100, 0.9)),
        path_of(tmp_path / "session", "engagement", "ben"),
    )
    assert "s of labels" in calibrate("--profile", "anna", "session").stdout.splitlines()[-1]
    assert profiles.load("anna").labelled > 8
    assert min(means(command, tiny_bundle, "session", "--profile", "anna")[1:]) > 0.5
    write(
        Trace("cid", "engagement", times, np.full(100, 7.0)),
        path_of(tmp_path / "session", "engagement", "cid"),
    )
    done = calibrate("--profile", "other", "session", status=2)
    assert "cid" in done.stderr.splitlines()[-1]
    assert profiles.names() == ["anna"]


def test_a_profile_of_another_bundle_is_refused_in_one_line(calibrate, command, long_sound):
    calibrate("--profile", "anna", long_sound)
    done = command("replay", long_sound, "--profile", "anna")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "was made with tiny" in line


def test_too_little_makes_no_profile(calibrate, sound, folder):
    done = calibrate("--profile", "anna", sound, status=2)
    assert "4.0 s of data are too little" in done.stderr
    assert not folder.exists()


def test_it_holds_moments_only(calibrate, long_sound, folder):
    calibrate("--profile", "anna", long_sound, bundle="default")
    content = msgspec.json.decode((folder / "anna.json").read_bytes())
    assert set(content["modalities"]) == {"audio"}
    numbers = content["modalities"]["audio"]
    assert {key: len(value) for key, value in numbers.items() if isinstance(value, list)} == {
        "shift": 44,
        "scale": 44,
    }
    assert (folder / "anna.json").stat().st_size < 5000
