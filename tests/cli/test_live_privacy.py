"""A live session under strace: it connects to nothing but the camera's address, and writes no picture."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "realtime"))
from mjpeg import Server

# What a process does to the network, to names and to files.
CALLS = "trace=connect,sendto,sendmsg,openat,open,creat"


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on this machine")
def test_a_session_connects_nowhere_else_and_writes_what_it_was_asked_to(face_model, tmp_path):
    with Server() as server:
        command = [sys.executable, "-m", "enrapt.cli.main", "live", "--duration", "1.5"]
        command += ["--camera", server.address, "--mic", "none", "--to", "jsonl:e.jsonl"]
        command += ["--face-model", str(face_model)]
        traced = ["strace", "-f", "-qq", "-e", CALLS, "-e", "signal=none", "-o", "trace", *command]
        (tmp_path / "tmp").mkdir()
        places = {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
        done = subprocess.run(
            traced, cwd=tmp_path, env=os.environ | places, capture_output=True, text=True, timeout=180
        )
        port = server.port
    assert done.returncode == 0, done.stderr
    trace = (tmp_path / "trace").read_text()
    addresses = re.findall(r"(?:connect|sendto|sendmsg)\([^\n]*sa_family=AF_INET6?,[^\n]*", trace)
    assert addresses, "the camera's connection was not traced"
    for line in addresses:
        assert f"htons({port})" in line, line
        assert '"127.0.0.1"' in line, line
    written = set(re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", O_(?:WRONLY|RDWR)', trace))
    others = ("/dev/", "/proc/", "/sys/", str(tmp_path / "tmp"))
    own = {name for name in written if not name.startswith(others) and "__pycache__" not in name}
    assert own == {str(tmp_path / "e.jsonl.part")}
    assert [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == []
