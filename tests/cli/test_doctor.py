import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import platformdirs
import pytest

from enrapt.cli import doctor
from enrapt.cli.doctor import LIVE, REPLAY, Finding
from enrapt.cli.main import main
from enrapt.realtime.features.face.model_file import SHA256
from tests.support.microphone import DRIVER


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No face model and no network."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("ENRAPT_FACE_MODEL", raising=False)
    monkeypatch.setenv("ENRAPT_OFFLINE", "1")


@pytest.fixture
def shipped_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "bundle", lambda: Finding(REPLAY, "bundle", "ok", "default"))


def enrapt_doctor(*arguments: object) -> int:
    return main(["doctor", *map(str, arguments)])


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    status = enrapt_doctor("--json", *arguments)
    report = json.loads(capsys.readouterr().out)
    report["findings"] = {finding["name"]: finding for finding in report["findings"]}
    return status, report


def test_every_required_library_is_checked() -> None:
    required = {
        re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        for requirement in importlib.metadata.requires("enrapt") or []
        if "extra ==" not in requirement
    }
    assert {*(finding.name for finding in doctor.libraries()), "sounddevice"} == required


@pytest.mark.usefixtures("shipped_bundle")
def test_a_machine_with_everything(face_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, report = as_json(capsys, "--face-model", face_model)
    assert status == 0
    assert report["can_replay"] is True
    assert report["python"] == platform.python_version()
    assert report["findings"]["face model"]["found"].startswith(str(face_model))
    assert report["findings"]["numpy"]["found"] == importlib.metadata.version("numpy")
    assert {f["status"] for f in report["findings"].values() if f["group"] == REPLAY} == {"ok"}

    assert enrapt_doctor("--face-model", face_model) == 0
    assert "Recordings can be replayed: run enrapt replay FILE" in capsys.readouterr().out


@pytest.mark.usefixtures("shipped_bundle")
def test_a_machine_without_the_face_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, report = as_json(capsys)
    assert status == 1
    finding = report["findings"]["face model"]
    assert (finding["status"], finding["found"]) == ("missing", "not on this computer")
    assert "enrapt face-model" in finding["remedy"]
    assert "index" in finding["remedy"]
    assert not (tmp_path / "cache").exists()  # nothing was downloaded

    assert enrapt_doctor() == 1
    assert "cannot be replayed" in capsys.readouterr().out


@pytest.mark.usefixtures("shipped_bundle")
def test_a_file_that_is_not_the_face_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "other.task").write_bytes(b"something else")
    status, report = as_json(capsys, "--face-model", tmp_path / "other.task")
    assert status == 1
    assert report["findings"]["face model"]["status"] == "missing"
    assert SHA256 in report["findings"]["face model"]["found"]


@pytest.mark.usefixtures("shipped_bundle")
def test_a_machine_without_a_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    status, report = as_json(capsys)
    assert status == 1
    assert report["findings"]["soxr"]["status"] == "missing"
    assert re.search(r"pip install --force-reinstall 'soxr\S*>=", report["findings"]["soxr"]["remedy"])


@pytest.mark.usefixtures("shipped_bundle")
def test_faces_need_litert_and_not_mediapipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], face_model: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    assert as_json(capsys, "--face-model", face_model)[0] == 0
    for module in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    status, report = as_json(capsys, "--face-model", face_model)
    assert status == 1
    assert report["findings"]["ai-edge-litert"]["status"] == "missing"
    assert "pip install" in report["findings"]["ai-edge-litert"]["remedy"]
    assert report["findings"]["face model"]["status"] == "missing"


def test_without_the_shipped_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from enrapt.bundle import bundle

    monkeypatch.setattr(bundle, "files", lambda package: tmp_path)
    finding = doctor.bundle()
    assert (finding.group, finding.status) == (REPLAY, "missing")
    assert "no such bundle" in finding.found


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Replaces sounddevice in child processes."""
    (tmp_path / "sounddevice.py").write_text(
        DRIVER + 'get_portaudio_version = lambda: (0, "PortAudio V19, x")\n'
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return lambda **what: monkeypatch.setenv("DRIVER", json.dumps(what))


def test_without_portaudio(monkeypatch: pytest.MonkeyPatch, driver: Callable[..., None]) -> None:
    driver(absent=True)
    monkeypatch.setattr(sys, "platform", "linux")
    portaudio, cameras = doctor.live()
    assert portaudio == Finding(
        LIVE,
        "PortAudio",
        "missing",
        "PortAudio library not found",
        "sudo apt install libportaudio2 (Debian, Ubuntu), or your system's PortAudio package",
    )
    assert cameras.name == "cameras"


def test_microphones_are_the_devices_with_inputs(driver: Callable[..., None]) -> None:
    driver(names=["Webcam", "Headset"], default=1)
    portaudio, microphones = doctor._sound()
    version = importlib.metadata.version("sounddevice")
    assert portaudio == Finding(LIVE, "PortAudio", "ok", f"V19, sounddevice {version}")
    assert microphones == Finding(LIVE, "microphones", "ok", "Webcam; Headset (default)")
    driver(names=[])
    _, microphones = doctor._sound()
    assert microphones.status == "missing"
    assert microphones.remedy


def test_a_sound_server_that_hangs(driver: Callable[..., None]) -> None:
    driver(hang=True)
    (portaudio,) = doctor._sound(patience=2)
    assert (portaudio.status, portaudio.found) == ("missing", "no answer in 2 s")
    assert "restart it" in portaudio.remedy


def test_a_driver_that_crashes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (portaudio,) = doctor._sound()
    assert portaudio.status == "missing"
    assert "failed" in portaudio.found


def test_linux_cameras_are_found_by_their_capture_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    devices, system = tmp_path / "dev", tmp_path / "system"
    devices.mkdir()
    assert doctor._cameras_of_linux(devices, system).found == "none"

    for number, index, name in ((10, 0, "HD webcam"), (11, 1, "HD webcam"), (2, 0, "Capture card")):
        (devices / f"video{number}").touch()
        (system / f"video{number}").mkdir(parents=True)
        (system / f"video{number}" / "index").write_text(f"{index}\n")
        (system / f"video{number}" / "name").write_text(f"{name}\n")
    found = f"{devices}/video2 (Capture card); {devices}/video10 (HD webcam)"
    assert doctor._cameras_of_linux(devices, system) == Finding(LIVE, "cameras", "ok", found)

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    finding = doctor._cameras_of_linux(devices, system)
    assert finding.status == "missing"
    assert "usermod -aG video" in finding.remedy


@pytest.mark.skipif(Path("/dev/video0").exists(), reason="this computer has a camera")
def test_opening_cameras_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    finding = doctor._cameras_by_opening()
    assert (finding.status, finding.found) == ("missing", "none could be opened")
    assert capfd.readouterr().err == ""


def test_a_missing_extra_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = [
        "a>=1",
        'torch<3; extra == "train"',
        'pytest; extra == "dev"',
        'no.such-thing>2; extra == "lsl"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requires)
    metadata = SimpleNamespace(get_all=lambda field: ["dev", "lsl"])
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: metadata)
    dev, lsl = doctor.extras()
    assert (dev.name, dev.status) == ("dev", "ok")
    assert (lsl.name, lsl.status, lsl.found) == ("lsl", "absent", "without no.such-thing")
    assert lsl.remedy == "pip install 'enrapt[lsl]'"


def test_lines_fit_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then treats the output as a terminal
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: Path("/home/someone/.cache") / name)
    enrapt_doctor()
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("           -> ") for line in lines) >= 1
