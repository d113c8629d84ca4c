"""Checks this computer for what enrapt needs and prints a remedy for each missing item.

Exit status 0 if recordings can be replayed, 1 if not.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from ..contracts.errors import UserError

Status = Literal["ok", "missing", "absent"]
REPLAY, LIVE, EXTRAS = GROUPS = ("Replay", "Live", "Extras")

# Module of each library that has another name than its distribution, or must not be imported directly.
MODULES: Final = {
    "opencv-python-headless": "cv2",
    "webrtcvad-wheels": "webrtcvad",
    "onnxruntime": "enrapt.bundle.runtime",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    group: str
    name: str
    status: Status  # `missing` if the group needs it, `absent` if it is optional
    found: str  # version, path or names; or the error
    remedy: str = ""  # what to do if it is not there


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--face-model", type=Path, metavar="FILE", help="the face model to check")
    add("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    findings = [*libraries(), face_model(args.face_model), bundle(), *live(), *extras()]
    status = {finding.name: finding.status for finding in findings if finding.group == REPLAY}
    can_replay = "missing" not in status.values()
    python, system = platform.python_version(), platform.platform()
    about = {"enrapt": _version("enrapt"), "python": python, "platform": system}
    if args.json:
        every = [asdict(finding) for finding in findings]
        print(json.dumps({**about, "can_replay": can_replay, "findings": every}, indent=2))
    elif not can_replay:
        _print(findings, about, "Recordings cannot be replayed yet: install what is missing above.")
    else:
        _print(findings, about, "Recordings can be replayed: run enrapt replay FILE, or enrapt demo.")
    return 0 if can_replay else 1


def libraries() -> Iterator[Finding]:
    """Import each library that a replay needs."""
    for distribution, required, condition in _requirements():
        if "extra ==" in condition or distribution == "sounddevice":  # which `live` checks
            continue
        try:
            importlib.import_module(MODULES.get(distribution, distribution.replace("-", "_")))
        except (ImportError, OSError) as error:
            remedy = f"pip install --force-reinstall {shlex.quote(required)}"
            yield Finding(REPLAY, distribution, "missing", _line(error), remedy)
        else:
            # opencv-python, for example, has the module cv2, too.
            yield Finding(REPLAY, distribution, "ok", _version(distribution) or "from another distribution")


def face_model(explicit: Path | None) -> Finding:
    """Check the face model's hash, and load it."""
    from ..realtime.features.face import FaceOptions
    from ..realtime.features.face.model_file import locate

    try:
        if (path := locate(explicit)) is None:
            remedy = "enrapt face-model, or enrapt face-model --from index, FILE or ADDRESS"
            return Finding(REPLAY, "face model", "missing", "not on this computer", remedy)
        FaceOptions(path).open().close()
    except (ImportError, UserError) as error:
        return Finding(REPLAY, "face model", "missing", _line(error))
    return Finding(REPLAY, "face model", "ok", f"{path}, sha256 correct")


def bundle() -> Finding:
    """Load the default bundle."""
    try:
        from ..bundle.bundle import Bundle

        shipped = Bundle.load("default").metadata
    except (ImportError, UserError) as error:
        return Finding(REPLAY, "bundle", "missing", _line(error))
    inputs = ", ".join(modality.name for modality in shipped.inputs)
    found = f"{shipped.name} {shipped.version}, {shipped.rate} ticks/s, inputs {inputs}"
    return Finding(REPLAY, "bundle", "ok", found)


def live() -> Iterator[Finding]:
    """Find PortAudio, microphones and cameras."""
    yield from _sound()
    yield _cameras_of_linux() if sys.platform == "linux" else _cameras_by_opening()


def _sound(patience: float = 10.0) -> Iterator[Finding]:
    """Find PortAudio and microphones: a child process looks, which may take so many seconds."""
    command = [sys.executable, "-P", "-m", "enrapt.realtime.sources.microphone_list"]
    nothing = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing, timeout=patience
        )
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        error, remedy = f"no answer in {patience:g} s", "the sound server hangs: restart it, or log in again"
        yield Finding(LIVE, "PortAudio", "missing", error, remedy)
        return
    except ValueError:  # it has ended without an answer
        found = {"error": f"its process has failed (exit status {done.returncode})"}
    if "version" not in found:
        remedy = {
            "linux": "sudo apt install libportaudio2 (Debian, Ubuntu), or your system's PortAudio package",
            "darwin": "brew install portaudio",
        }.get(sys.platform, "pip install --force-reinstall sounddevice")
        yield Finding(LIVE, "PortAudio", "missing", found["error"], remedy)
        return
    version = found["version"].partition(",")[0].removeprefix("PortAudio ")
    yield Finding(LIVE, "PortAudio", "ok", f"{version}, sounddevice {_version('sounddevice')}")
    if "error" in found:
        remedy = "connect one, or start the sound server"
        yield Finding(LIVE, "microphones", "missing", found["error"], remedy)
    elif not found["names"]:
        remedy = "connect one; in a container or over ssh, give this user access to the sound server"
        yield Finding(LIVE, "microphones", "missing", "none", remedy)
    else:
        yield Finding(LIVE, "microphones", "ok", "; ".join(found["names"]))


def _cameras_of_linux(devices: Path = Path("/dev"), system: Path = Path("/sys/class/video4linux")) -> Finding:
    """Find cameras without opening them: another program may be using one."""
    usable: list[str] = []
    refused: list[str] = []
    for device in sorted(devices.glob("video[0-9]*"), key=lambda path: int(path.name[5:])):
        index, name = (
            path.read_text().strip() if (path := system / device.name / file).exists() else default
            for file, default in (("index", "0"), ("name", "unnamed"))
        )
        if index == "0":  # a camera's nodes for metadata have higher ones
            (usable if os.access(device, os.R_OK | os.W_OK) else refused).append(f"{device} ({name})")
    if usable:
        return Finding(LIVE, "cameras", "ok", "; ".join(usable))
    if refused:
        remedy = "sudo usermod -aG video $USER, then log in again"
        return Finding(LIVE, "cameras", "missing", f"no permission: {'; '.join(refused)}", remedy)
    return Finding(LIVE, "cameras", "missing", "none", "connect one; in a container, pass /dev/video0 to it")


def _cameras_by_opening() -> Finding:
    try:
        import cv2
    except ImportError as error:
        return Finding(LIVE, "cameras", "missing", _line(error))
    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    usable = [str(index) for index in range(4) if cv2.VideoCapture(index).isOpened()]  # and closed again
    logging.setLogLevel(level)
    if usable:
        return Finding(LIVE, "cameras", "ok", f"number {', '.join(usable)}")
    remedy = "connect one, close other programs that use it, and allow this terminal in the privacy settings"
    return Finding(LIVE, "cameras", "missing", "none could be opened", remedy)


def extras() -> Iterator[Finding]:
    """Check that the distributions of each extra are installed."""
    for extra in importlib.metadata.metadata("enrapt").get_all("Provides-Extra") or []:
        needed = [n for n, _, condition in _requirements() if re.search(rf"extra == .{extra}\W", condition)]
        if missing := [name for name in needed if _version(name) is None]:
            remedy = f"pip install 'enrapt[{extra}]'"
            yield Finding(EXTRAS, extra, "absent", f"without {', '.join(missing)}", remedy)
        else:
            yield Finding(EXTRAS, extra, "ok", "installed")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements() -> Iterator[tuple[str, str, str]]:
    """Of this package: distribution, the same with its versions (`av<20,>=17.1`), condition."""
    for requirement in importlib.metadata.requires("enrapt") or []:
        versions, _, condition = requirement.partition(";")
        yield re.split(r"[^\w.-]", versions, maxsplit=1)[0], versions.strip(), condition


def _print(findings: list[Finding], about: dict[str, str | None], verdict: str) -> None:
    from .styled import StyledConsole

    console = StyledConsole(sys.stdout, markup=False, emoji=False)
    # Wrap lines for a terminal; in a pipe, each finding and each remedy is one line.
    width = console.width if console.is_terminal else sys.maxsize
    fill = partial(textwrap.fill, width=width, break_long_words=False, break_on_hyphens=False)
    colour = {"ok": "green", "missing": "red", "absent": "yellow"}

    console.print(fill(f"enrapt {about['enrapt']}, Python {about['python']}, {about['platform']}"))
    for group in GROUPS:
        console.print(f"\n{group}", style="bold")
        for finding in (each for each in findings if each.group == group):
            console.print(f"  {finding.status:<8} ", style=colour[finding.status], end="")
            line = fill(f"{finding.name:<22} {finding.found}", width=width - 11, subsequent_indent=" " * 34)
            console.print(line, soft_wrap=True)
            if finding.remedy:
                remedy = fill(finding.remedy, initial_indent=" " * 11 + "-> ", subsequent_indent=" " * 14)
                console.print(remedy, soft_wrap=True)
    console.print(f"\n{fill(verdict)}", style="bold")
