"""`enrapt replay` keeps the files of other runs, and finishes what a killed run left."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path, process):
    while not (path.exists() and path.stat().st_size > 1000):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def ticks(path):
    return [json.loads(line)["tick"] for line in path.read_text().splitlines()]


def test_a_killed_run_is_finished_by_the_next_and_two_at_once_have_files_of_their_own(
    command, sound, tiny_bundle, tmp_path
):
    replay = ["replay", sound, "--bundle", tiny_bundle, "--to", f"jsonl:{tmp_path / 'svc.jsonl'}"]
    part = tmp_path / "svc.jsonl.part"
    killed = start(*replay, "--realtime")
    wait_for(part, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    written = part.read_text().count("\n")

    running = start(*replay, "--realtime")
    wait_for(tmp_path / "svc_recovered.jsonl", running)
    wait_for(part, running)
    assert (tmp_path / "svc_recovered.jsonl").read_text().count("\n") == written
    beside = command(*replay, "--overwrite")
    assert beside.returncode == 0
    assert "is being written by another run: this run writes svc_2.jsonl" in beside.stderr
    _, stderr = running.communicate(timeout=20)
    assert running.returncode == 0
    assert "what it wrote is now svc_recovered.jsonl" in stderr
    assert ticks(tmp_path / "svc.jsonl") == ticks(tmp_path / "svc_2.jsonl") == list(range(101))
    assert not list(tmp_path.glob("*.part"))


def test_a_rerun_keeps_both_or_replaces(command, sound, tiny_bundle, tmp_path):
    replay = ["replay", sound, "--bundle", tiny_bundle, "--to", "csv:a.csv"]
    command(*replay, "--end", "1")
    again = command(*replay)
    assert "enrapt: " in again.stderr
    assert "exists and is kept: this run writes a_2.csv" in again.stderr
    command(*replay, "--end", "2", "--overwrite")
    assert {path.name: path.read_text().count("\n") for path in tmp_path.glob("*.csv")} == {
        "a.csv": 52,
        "a_2.csv": 102,
    }


def test_two_outputs_to_one_file(command, sound, tiny_bundle, tmp_path):
    done = command("replay", sound, "--bundle", tiny_bundle, "--to", "jsonl:d", "--to", "csv:d")
    assert done.returncode == 2
    assert "jsonl:d and csv:d are one file" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["jsonl:own.wav", "csv:link.wav", "jsonl:./folder/../own.wav"])
def test_what_is_read_is_never_replaced(command, sound, tiny_bundle, tmp_path, address):
    own = tmp_path / "own.wav"
    own.write_bytes(sound.read_bytes())
    (tmp_path / "link.wav").symlink_to("own.wav")
    (tmp_path / "folder").mkdir()
    done = command("replay", "own.wav", "--bundle", tiny_bundle, "--overwrite", "--to", address)
    assert done.returncode == 2
    assert f"{address}: is what this run reads" in done.stderr
    assert own.read_bytes() == sound.read_bytes()


def test_nothing_of_a_session_that_is_read_is_replaced(command, sound, tiny_bundle, tmp_path):
    assert not command("replay", sound, "--bundle", tiny_bundle, "--record", "s").returncode
    before = {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    replay = ["replay", "s", "--bundle", tiny_bundle, "--overwrite", "--to"]
    assert command(*replay, "jsonl:s/observations.arrows").returncode == 2
    assert {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()} == before
    beside = command(*replay, "jsonl:s/again.jsonl")
    assert not beside.returncode, beside.stderr


def test_statistics_are_kept_too(tiny_bundle, sound, tmp_path, monkeypatch):
    from enrapt.cli.show import show
    from enrapt.realtime.run import Run

    monkeypatch.chdir(tmp_path)
    stats = tmp_path / "stats.json"
    for overwrite in (False, False, True):
        assert show(Run(sound, tiny_bundle, overwrite=overwrite), stats=stats) == 0
    assert sorted(path.name for path in tmp_path.glob("stats*")) == ["stats.json", "stats_2.json"]
    assert all(json.loads(path.read_bytes())["ticks"] == 101 for path in tmp_path.glob("stats*"))

    from enrapt.contracts.errors import UserError

    with pytest.raises(UserError, match="is an output of the estimates"):
        show(Run(sound, tiny_bundle, to=["csv:new.csv"]), stats=tmp_path / "new.csv")
    with pytest.raises(UserError, match="cannot be written"):
        show(Run(sound, tiny_bundle), stats=tmp_path / "no" / "stats.json")


@pytest.mark.parametrize("folder", ["session", "new/session"])
def test_a_failed_start_leaves_no_folder(command, sound, tiny_bundle, tmp_path, folder):
    replay = ["replay", sound, "--bundle", tiny_bundle, "--record", folder]
    for wrong in (["--start", "99"], ["--to", "jsonl:no/folder/a"], ["--to", "ui:nowhere.invalid:80"]):
        assert command(*replay, *wrong).returncode == 2
        assert list(tmp_path.iterdir()) == []
    assert command(*replay).returncode == 0
    assert (tmp_path / folder / "session.json").exists()


def test_a_folder_that_was_there_stays_after_a_failed_start(command, sound, tiny_bundle, tmp_path):
    (tmp_path / "session").mkdir()
    done = command("replay", sound, "--bundle", tiny_bundle, "--record", "session", "--start", "99")
    assert done.returncode == 2
    assert list(tmp_path.rglob("*")) == [tmp_path / "session"]


def test_a_page_without_a_port_gets_a_free_one(monkeypatch):
    from enrapt.contracts.errors import UserError
    from enrapt.realtime.outputs import Outputs, addresses

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(addresses, "PAGE_PORT", port)
        with Outputs(["ui"], live=True, warn=pytest.fail) as outputs:
            assert outputs.page is not None
            assert f":{port}/" not in outputs.page.address
        with pytest.raises(UserError, match="in use"):
            Outputs([f"ui:{port}"], live=True, warn=pytest.fail)
