"""PortAudio, which waits for ever for a sound server that hangs, is only in the processes of microphones."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enrapt.cli.demo import CLIP
from tests.support import pulse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")

# Runs the command, then says which of these its process has loaded.
PROGRAM = """
import sys
from enrapt.cli.main import main
status = main(sys.argv[1:-1])
loaded = [line.split()[-1] for line in open("/proc/self/maps") if "portaudio" in line]
print(status, "sounddevice" in sys.modules, loaded, sys.argv[-1] in sys.modules, file=sys.stderr)
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a sound server that accepts connections and never answers."""
    if reason := pulse.missing():
        pytest.skip(reason)
    path, configuration = tmp_path / "native", tmp_path / "asound.conf"
    configuration.write_text(f'pcm.!default {{ type pulse server "unix:{path}" }}\n')
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()  # connections are accepted by the system
        yield os.environ | {
            "PULSE_SERVER": f"unix:{path}",
            "ALSA_CONFIG_PATH": str(configuration),
            "XDG_RUNTIME_DIR": str(tmp_path),
        }


REPLAY = ["replay", CLIP, "--end=1"]


@pytest.mark.parametrize(
    ("arguments", "by"),
    [
        (REPLAY, "ai_edge_litert"),
        ([*REPLAY, "--face-backend=mediapipe"], "mediapipe"),
        (["doctor"], "ai_edge_litert"),
    ],
    ids=["replay", "mediapipe", "doctor"],
)
def test_the_main_process_does_not_load_it(
    arguments: list[str], by: str, face_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, *arguments, "--face-model", face_model, by]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1] == "0 False [] True", done.stderr


def test_no_process_of_a_replay_opens_it(face_model: Path, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace: apt install strace")
    command = ["strace", "-f", "-e", "trace=open,openat,connect", "-o", tmp_path / "trace", sys.executable]
    command += ["-m", "enrapt.cli.main", "replay", CLIP, "--end=1", "--face-model", face_model]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    if "ptrace" in done.stderr:
        pytest.skip("strace is not allowed here")
    assert done.returncode == 0, done.stderr
    trace = (tmp_path / "trace").read_text(errors="replace")
    assert "face_landmarker.task" in trace
    for name in ("portaudio", "alsa.conf", "pcm_pulse"):
        assert name not in trace


def test_a_replay_beside_a_hanging_server_ends(
    hanging: dict[str, str], face_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "enrapt.cli.main", "replay", CLIP, "--end=1", "--face-model", face_model]
    done = subprocess.run(command, env=hanging, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_ends_a_replay_beside_a_hanging_server(
    hanging: dict[str, str], face_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "enrapt.cli.main", "replay", CLIP, "--realtime"]
    command += ["--face-model", face_model, "--to", "jsonl:-"]
    with subprocess.Popen(command, env=hanging, cwd=tmp_path, stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130


def test_mediapipes_own_recorder_still_has_it(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    (tmp_path / "sounddevice.py").write_text("print('started'); InputStream = 7")
    program = (
        "import sys; from enrapt.realtime.features.face import mediapipe; mediapipe.import_mediapipe()\n"
        "print('sounddevice' in sys.modules)\n"
        "from mediapipe.tasks.python.audio.core import audio_record\n"
        "print(audio_record.sd.InputStream)\n"
        "import sounddevice; print(sounddevice.InputStream)"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "started", "7", "7"], done.stderr
