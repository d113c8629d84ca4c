"""`enrapt live` and `record` with a camera on the loopback, and `replay` of what was recorded."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.support.mjpeg import Server, free_port

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture
def live(face_model, server, tmp_path, monkeypatch):
    """Starts the command with the camera on the loopback."""
    monkeypatch.chdir(tmp_path)

    def start(command, *arguments):
        words = [command, *arguments, "--camera", server.address, "--mic", "none", "--face-model", face_model]
        return subprocess.Popen(
            [sys.executable, "-m", "enrapt.cli.main", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_a_session_is_recorded_and_gives_the_same_estimates_again(live, enrapt, tmp_path):
    process = live("record", "session", "--duration", 3, "--to", "jsonl:live.jsonl", "--stats", "stats.json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "live: camera 320×240" in err
    lines = (tmp_path / "live.jsonl").read_text().splitlines()
    assert [json.loads(line)["tick"] for line in lines] == list(range(len(lines)))
    assert len(lines) == 76
    stats = json.loads((tmp_path / "stats.json").read_text())
    face = stats["samples"]["face"]
    assert face["captured"] == face["used"] + sum(face["dropped"].values()) > 60
    session = json.loads((tmp_path / "session" / "session.json").read_text())
    assert session["summary"] == stats
    assert "320×240" in session["description"]["devices"]["camera"]
    assert f"{face['captured']} captured" in out

    again = enrapt("replay", "session", "--no-timing", "--to", "jsonl:again.jsonl")
    assert again.returncode == 0, again.stderr
    without = []
    for line in lines:
        estimate = json.loads(line)
        del estimate["latency_ms"]
        without.append(json.dumps(estimate, separators=(",", ":")))
    assert (tmp_path / "again.jsonl").read_text().splitlines() == without

    reassembled = enrapt(
        "replay", "session", "--reassemble", "--bundle", "mdvae", "--to", "jsonl:reassembled.jsonl"
    )
    assert reassembled.returncode == 0, reassembled.stderr
    assert len((tmp_path / "reassembled.jsonl").read_text().splitlines()) == len(lines)
    assert "captured" in reassembled.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_session_with_a_summary(live, number, tmp_path):
    process = live("record", "session", "--to", "jsonl:live.jsonl")
    estimates = tmp_path / "live.jsonl.part"
    while not (estimates.exists() and estimates.stat().st_size > 5000):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "captured" in out
    assert (tmp_path / "live.jsonl").exists()
    assert "ended" in json.loads((tmp_path / "session" / "session.json").read_text())


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.3])
def test_ctrl_c_twice_ends_at_once_and_leaves_a_session_that_can_be_read(live, enrapt, pause, tmp_path):
    process = live("record", "session", "--to", "jsonl:live.jsonl")
    estimates = tmp_path / "live.jsonl.part"
    while not (estimates.exists() and estimates.stat().st_size > 5000):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert process.returncode in (0, 130, -signal.SIGINT)  # the second may come after the end
    assert "Traceback" not in err
    again = enrapt("replay", "session", "--to", "jsonl:again.jsonl")
    assert again.returncode in (0, 1)  # 1: it was not ended, and says so
    written = (tmp_path / "live.jsonl.part" if estimates.exists() else tmp_path / "live.jsonl").read_text()
    assert abs(len((tmp_path / "again.jsonl").read_text().splitlines()) - written.count("\n")) <= 1


def test_a_killed_session_is_replayed_up_to_its_last_second(live, enrapt, tmp_path):
    process = live("record", "session", "--to", "jsonl:live.jsonl")
    estimates = tmp_path / "live.jsonl.part"
    while not (estimates.exists() and estimates.read_text().count("\n") >= 80):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    written = estimates.read_text().count("\n")
    again = enrapt("replay", "session", "--to", "jsonl:again.jsonl")
    assert again.returncode == 1
    assert "session" in again.stderr
    assert written - 26 <= len((tmp_path / "again.jsonl").read_text().splitlines()) <= written + 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--camera", "none", "--mic", "none"],
            "live gives nothing, but bundle 'default' takes face (face/1), audio",
        ),
        (["--camera", f"http://127.0.0.1:{free_port()}/", "--mic", "none"], "127.0.0.1"),
        (["--camera", "/dev/video77", "--mic", "none"], "/dev/video77"),
        (["--camera", "none", "--mic", "no such microphone"], "microphone"),
        (["--camera-size", "wide"], "--camera-size wide"),
        (["--camera", "none", "--context", "role"], "--context role"),
        (["--camera", "none", "--face-every", "0"], "face_every"),
        (["--camera", "none", "--bundle", "none.onnx"], "none.onnx"),
    ],
)
def test_an_error_of_the_user_is_one_line(arguments, complaint, enrapt, face_model):
    done = enrapt("live", *arguments, "--face-model", face_model)
    assert done.returncode == 2, done.stdout
    assert complaint in done.stderr
    assert done.stderr.startswith("enrapt: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_is_no_session_is_refused(enrapt, tmp_path):
    (tmp_path / "empty").mkdir()
    done = enrapt("replay", "empty")
    assert done.returncode == 2
    assert "not a session" in done.stderr
