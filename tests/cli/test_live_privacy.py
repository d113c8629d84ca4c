"""A live session under strace: it connects only to its devices, and writes only the files that were asked
for. What libraries write as well is listed here."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import msgspec
import pytest

from enrapt.realtime.engine.estimate import Estimate
from tests.support.mjpeg import Server
from tests.support.pulse import MICROPHONE, Pulse, missing

pytestmark = pytest.mark.live

# What a process does to the network, and to files: with -y, each descriptor is shown with its file.
CALLS = "trace=connect,bind,sendto,sendmsg,sendmmsg,open,openat,openat2,creat,write,writev,pwrite64,pwritev"
JACK = "/dev/shm/jack_"  # a sound server: PortAudio checks its registry and its socket
COOKIE = ".config/pulse/cookie"  # random bytes by which PulseAudio knows its clients
CHATTER = 4000  # bytes; MediaPipe's muted messages at its start. A picture of this camera has 30,000


def opened_for_writing(lines):
    """The files, where it succeeded."""
    of_result = re.compile(r"(?:open|openat|openat2|creat)\(.*\) = \d+<([^>]+)>")
    writing = [
        line for line in lines if line.startswith("creat(") or re.search("O_(WRONLY|RDWR|CREAT)", line)
    ]
    return {found[1] for line in writing if (found := of_result.match(line))}


def bytes_written(lines):
    """By file."""
    written = Counter()
    for line in lines:
        if found := re.match(r"p?writev?(?:64)?\(\d+<([^>]+)>.* = (\d+)$", line):
            written[found[1]] += int(found[2])
    return written


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on this machine")
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("command", ["live", pytest.param("record", marks=pytest.mark.long)])
def test_a_session_connects_only_to_its_devices_and_writes_only_what_was_asked_for(
    command, face_model, tmp_path
):
    here, home, temporary, traces, sound = (
        tmp_path / name for name in ("here", "home", "temporary", "traces", "sound")
    )
    for folder in (here, home, temporary, traces, sound):
        folder.mkdir()
    asked = ["e.jsonl", "stats.json"]
    with Server() as server, Pulse(sound) as pulse:
        words = [sys.executable, "-m", "enrapt.cli.main", command, "--duration", "1.5"]
        words += ["--camera", server.address, "--mic", MICROPHONE, "--face-model", str(face_model)]
        words += ["--to", "jsonl:e.jsonl", "--stats", "stats.json"]
        if command == "record":
            words.append("session")
            asked += [
                f"session/{name}.arrows" for name in ("face", "audio", "observations", "estimates", "marks")
            ]
            asked += ["session/session.json"]
        # -ff: a file per thread, so that lines are not interleaved.
        traced = ["strace", "-ff", "-y", "-qq", "-e", CALLS, "-e", "signal=none", "-o", f"{traces}/t", *words]
        places = {"TMPDIR": str(temporary), "HOME": str(home), "XDG_CACHE_HOME": str(home)}
        environment = os.environ | pulse.environment | places | {"PYTHONDONTWRITEBYTECODE": "1"}
        pulse.play(440, 60)
        done = subprocess.run(traced, cwd=here, env=environment, capture_output=True, text=True, timeout=180)
        port, speaker = str(server.port), pulse.environment["PULSE_SERVER"].removeprefix("unix:")
    assert done.returncode == 0, done.stderr
    lines = [line for path in traces.iterdir() for line in path.read_text(errors="replace").splitlines()]

    stats = json.loads((here / "stats.json").read_text())
    assert all(stats["samples"][modality]["captured"] > 20 for modality in ("face", "audio"))

    addresses = {found for line in lines for found in re.findall(r"\{sa_family=.*?\}", line)}
    internet = f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("127.0.0.1")}}'
    assert {address for address in addresses if JACK not in address} == {
        internet,
        f'{{sa_family=AF_UNIX, sun_path="{speaker}"}}',
    }

    opened = opened_for_writing(lines)
    in_temporary = {name for name in opened if name.startswith(f"{temporary}/")}
    libraries = {name for name in opened if name.startswith(JACK)} | {"/dev/null", str(home / COOKIE)}
    ours = {re.sub(r"(\.[0-9a-f]{16})?\.part$", "", name) for name in opened - in_temporary - libraries}
    assert ours == {str(here / name) for name in asked}
    written = bytes_written(lines)
    assert written[str(here / "e.jsonl.part")] == (here / "e.jsonl").stat().st_size  # `written` is complete
    assert 0 < sum(written[name] for name in in_temporary) < CHATTER
    assert written[str(home / COOKIE)] <= 256

    def left(folder):
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    assert left(here) == set(asked)
    assert left(temporary) == set()
    assert left(home) <= {COOKIE}
    for line in (here / "e.jsonl").read_bytes().splitlines():
        assert msgspec.json.encode(msgspec.json.decode(line, type=Estimate)) == line  # and nothing else
