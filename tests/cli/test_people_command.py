"""`enrapt record --person …`: cameras and a microphone of several people, and what reads their session."""

import csv
import io
import json
import subprocess
import sys
import time
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from matplotlib.image import imread
from rich.console import Console

from enrapt.cli.main import main
from enrapt.cli.people import each_person
from enrapt.cli.show_group import _picture
from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.store.reader import SessionReader
from tests.support.mjpeg import Server, free_port
from tests.support.pulse import MICROPHONE, Pulse, missing

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def recorded(face_model, tmp_path_factory):
    """A study with a session of anna (camera, microphone) and of ben (a camera, which is lost for good)."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.toml").write_text('name = "talks"\n[[dimensions]]\nname = "engagement"\n')
    sound = tmp_path_factory.mktemp("pulse")
    with Server() as camera, Server() as lost, Pulse(sound) as pulse, pytest.MonkeyPatch.context() as patch:
        for name, value in pulse.environment.items():
            patch.setenv(name, value)
        pulse.play(440, 30)
        words = ["record", folder / "sessions" / "pair", "--duration", 5, "--face-model", face_model]
        words += ["--stats", folder / "stats.json"]
        words += ["--person", "anna", "--camera", camera.address, "--mic", MICROPHONE]
        words += ["--to", f"csv:{folder / 'anna.csv'}"]
        words += ["--person", "ben", "--camera", lost.address, "--to", f"jsonl:{folder / 'ben.jsonl'}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "enrapt.cli.main", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        part = folder / "ben.jsonl.part"
        while not (part.exists() and part.read_text().count("\n") >= 25):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        lost.kill()
        out, err = process.communicate(timeout=60)
    return SimpleNamespace(folder=folder, out=out, err=err, status=process.returncode)


def test_a_lost_camera_is_missing_for_its_person_only(recorded):
    assert recorded.status == 0, recorded.err
    pair = recorded.folder / "sessions" / "pair"
    assert sorted(path.name for path in pair.iterdir()) == ["anna", "ben", "group.json"]
    anna, ben = (SessionReader(pair / name) for name in ("anna", "ben"))
    assert not anna.lost + ben.lost
    ticks = [[estimate.tick for estimate in reader.estimates()] for reader in (anna, ben)]
    assert ticks == [list(range(126))] * 2
    camera = {
        name: list(reader.samples("face"))[-1][1] / 1e9 for name, reader in (("anna", anna), ("ben", ben))
    }
    assert camera["anna"] > 4.5 > camera["ben"]
    assert any(estimate.present["audio"] for estimate in anna.estimates())
    assert not any(estimate.present["audio"] for estimate in ben.estimates())
    assert "anna: camera 320×240" in recorded.err
    assert "\nanna\n126 ticks" in recorded.out
    assert "\nben\n126 ticks" in recorded.out
    people = json.loads((recorded.folder / "stats.json").read_text())["people"]
    assert {name: summary["ticks"] for name, summary in people.items()} == {"anna": 126, "ben": 126}
    assert people["anna"]["samples"]["face"]["captured"] > people["ben"]["samples"]["face"]["captured"]
    with (recorded.folder / "anna.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 126
    began = datetime.fromisoformat(rows[0]["wall_clock"])
    assert anna.began == ben.began == began
    assert json.loads((pair / "group.json").read_text())["started"] == anna.started
    assert datetime.fromisoformat(rows[125]["wall_clock"]) - began == timedelta(seconds=5)
    assert abs(began.timestamp() + 5 - time.time()) < 120


def test_a_strip_for_each_in_one_picture_and_page(recorded, tmp_path, capsys):
    pair = recorded.folder / "sessions" / "pair"
    for name in ("pair.png", "pair.html"):
        assert main(["plot", str(pair), "-o", str(tmp_path / name)]) == 0
    assert "126 ticks, 5.0 s" in capsys.readouterr().out
    height, width, _ = imread(tmp_path / "pair.png").shape
    assert (width, height) == (1200, 612)  # two strips
    assert '"name":"ben"' in (tmp_path / "pair.html").read_text()


def test_it_is_replayed_with_the_same_estimates(recorded, command, tmp_path):
    pair = recorded.folder / "sessions" / "pair"
    done = command("replay", pair, "--jobs", 1, "--no-timing", "-o", "results")
    assert done.returncode == 0, done.stderr
    for name in ("anna", "ben"):
        estimates = SessionReader(pair / name).estimates()
        lines = (tmp_path / "results" / f"{name}.estimates.jsonl").read_text().splitlines()
        again = [json.loads(line)["engagement"]["mean"] for line in lines]
        assert again == [estimate.engagement.mean for estimate in estimates]


def test_what_is_in_it_is_listed_by_person(recorded, command):
    pair = recorded.folder / "sessions" / "pair"
    done = command("inspect", pair, "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert [part["name"].partition(" numbers")[0] for part in content["parts"]] == [
        "anna: face: 57", "anna: audio: 44", "ben: face: 57", "ben: audio: 44"
    ]  # fmt: skip
    assert 4.9 < content["duration"] < 5.3


def test_a_study_knows_whose_the_sessions_are(recorded, command):
    done = command("study", "status", recorded.folder)
    assert "2 sessions of 2 people" in done.stdout
    assert "pair/anna  anna" in done.stdout
    done = command("annotate", recorded.folder / "sessions" / "pair", "--rater", "E1")
    assert done.returncode == 2
    assert "pair: several people's; give " in done.stderr


def test_a_person_without_a_device_that_opens_is_named(command, tmp_path):
    address = f"http://127.0.0.1:{free_port()}/video"
    given = ["--person", "anna", "--camera", address, "--person", "ben", "--camera", address]
    done = command("record", "pair", *given, "--offline")
    assert done.returncode == 2
    assert done.stderr.startswith("enrapt: anna: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def parsed(*words):
    import argparse

    from enrapt.cli import record

    parser = argparse.ArgumentParser()
    record.add_arguments(parser)
    return parser.parse_args(["folder", *words])


def test_options_belong_to_the_person_before_them():
    two = parsed(
        *("--duration", "5", "--person", "anna", "--camera", "3", "--person", "left", "--to", "csv:a"),
        *("--to", "ui", "--person", "ben", "--mic", "lapel", "--audio-channel", "2", "--overwrite"),
        *("--profile", "ben"),
    )
    anna, ben = each_person(two).values()
    assert (anna.camera, anna.mic, anna.person, anna.to) == ("3", "none", "left", ["csv:a", "ui"])
    assert (ben.camera, ben.mic, ben.person, ben.to) == ("none", "lapel", "largest", [])
    assert (anna.audio_channel, ben.audio_channel) == (None, 2)
    assert (anna.profile, ben.profile) == (None, "ben")
    assert (anna.overwrite, anna.duration) == (ben.overwrite, ben.duration) == (True, 5)
    assert not parsed("--person", "2").named
    assert parsed("--person", "2", "--camera", "1").camera == "1"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--person tallest", "--person tallest: give whom to follow"),
        ("--person a --camera 0 --person a --camera 1", "--person a: is there twice"),
        ("--person a --camera 0 --person b", "--person b: give a --camera or a --mic"),
        ("--to csv:x --person a --camera 0 --person b --mic x", "--to: give it after"),
        ("--profile c --person a --camera 0 --person b --mic x", "--profile: give it after"),
        ("--camera 1 --person a --camera 0 --person b --mic x", "--camera and --mic: give them after"),
        ("--people 2 --person a --camera 0 --person b --mic x", "--people: is for one camera"),
    ],
)
def test_what_does_not_go_together_is_refused(words, says):
    with pytest.raises(UserError, match=says):
        each_person(parsed(*words.split()))


def test_the_terminal_has_a_row_for_each_and_says_who_has_ended():
    newest = {
        name: Estimate(50, 2.0, Engagement(0.5, 0.1, 0.3, 0.7), {"face": True}, {"face": 1.0}, {"face": 1.0})
        for name in ("anna", "ben")
    }
    session = SimpleNamespace(missing={"audio": "the sound is digital silence"})
    group = SimpleNamespace(
        people=dict.fromkeys(("anna", "ben"), session),
        running=["anna"],
        failures={"ben": "no device is left"},
    )
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(_picture(group, newest, 80))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert [line[0] for line in lines[:1]] == ["●"]
    assert lines[1][:2] == ["anna", "0.50"]
    assert lines[3] == ["audio:", "the", "sound", "is", "digital", "silence"]
    assert lines[4] == ["ben", "no", "device", "is", "left"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "csv:a.csv"], "--to: give it after the --person whose it is; before all, one page"),
        (["--to", "ui", "--to", "ui:9000"], "before all, one page"),
    ],
)
def test_only_one_page_is_of_all(words, says):
    given = ["--person", "anna", "--camera", "0", "--person", "ben", "--camera", "1"]
    with pytest.raises(UserError, match=says):
        each_person(parsed(*words, *given))
    people = each_person(parsed("--to", "ui:9000", *given, "--to", "csv:b.csv"))
    assert {name: list(own.to) for name, own in people.items()} == {"anna": [], "ben": ["csv:b.csv"]}


def test_one_page_of_all_is_served_and_said(face_model):
    with Server() as camera:
        port = free_port()
        words = ["live", "--face-model", str(face_model), "--duration", "3", "--to", f"ui:{port}"]
        words += [
            "--person",
            "anna",
            "--camera",
            camera.address,
            "--person",
            "ben",
            "--camera",
            camera.address,
        ]
        command = [sys.executable, "-m", "enrapt.cli.main", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"page of all: http://127.0.0.1:{port}/" in done.stderr
