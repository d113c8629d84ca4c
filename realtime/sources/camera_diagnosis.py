"""Why a camera does not open, and what to do about it."""

import http.client
import os
import re
import socket
import stat
import sys
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ...contracts.addresses import without_password
from ...contracts.errors import UserError

_ADDRESS: Final = re.compile(r"(rtsp|http)s?://", re.IGNORECASE)
_TIMEOUT: Final = 2.0  # s; OpenCV has waited already


def camera_of(source: int | str) -> int | str:
    """What OpenCV opens: an index, a path in /dev or an address.

    Raises:
        UserError: it is none of these.
    """
    text = str(source)
    if text.isdecimal():
        return f"/dev/video{int(text)}" if sys.platform == "linux" else int(text)
    if text.startswith("/dev/") or _ADDRESS.match(text):
        return text
    if Path(text).is_file():
        raise UserError(f"{text}: a recording, not a camera; use: enrapt replay {text}")
    remedy = "give an index (0), a device (/dev/video0) or an address (rtsp://… or http://…)"
    raise UserError(f"camera {without_password(text)}: {remedy}; recordings are for: enrapt replay")


def diagnose_camera(camera: int | str, reason: str) -> str:
    """One line for the user: why a camera, as `camera_of` gives it, did not open.

    Args:
        reason: `closed` (OpenCV could not open it), `dark` (it opened and gave no picture), `silent` (no
            answer in time), or else an explanation.
    """
    text = str(camera)
    if reason not in ("closed", "dark", "silent"):
        return f"camera {without_password(text)}: {reason}"
    if "://" in text:
        return f"camera {without_password(text)}: {_diagnose_address(text)}"
    if isinstance(camera, int):
        return f"camera {camera}: gives no picture; is it plugged in, and is this program allowed to use it?"
    return f"camera {text}: {_diagnose_device(Path(text))}"


def _diagnose_device(device: Path) -> str:
    try:
        mode = device.stat().st_mode
    except OSError:
        there = ", ".join(_devices())
        return "no such camera; " + (f"there are: {there}" if there else "there is none; plug one in")
    if not stat.S_ISCHR(mode):
        return "not a camera"
    if not os.access(device, os.R_OK | os.W_OK):
        return "permission denied; sudo usermod -aG video $USER, and log in again"
    if users := _users(device):
        return f"busy; close {', '.join(users)}"
    others = [other for other in _devices() if other.split()[0] != str(device.resolve())]
    another = f", or try another: {', '.join(others)}" if others else ""
    return f"gives no picture; close other programs that use it, unplug it and plug it in{another}"


def _devices() -> list[str]:
    """All cameras, with their names: `/dev/video0 (HD Webcam)`."""
    paths = Path("/dev").glob("video[0-9]*")
    return [_with_name(path) for path in sorted(paths, key=lambda path: (len(path.name), path.name))]


def _with_name(device: Path) -> str:
    try:
        return f"{device} ({Path(f'/sys/class/video4linux/{device.name}/name').read_text().strip()})"
    except OSError:
        return str(device)


def _users(device: Path) -> list[str]:
    """Other programs that have it open, of the same user: those of others are not visible."""
    there = device.resolve()
    users = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = (process / "fd").iterdir()
            if int(process.name) != os.getpid() and any(link.readlink() == there for link in links):
                users.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
        except OSError:  # another user's, or it has ended meanwhile
            continue
    return users


def _diagnose_address(text: str) -> str:
    """Why it gives no picture. Python's own messages are not quoted where they have the address in them."""
    try:
        address = urlsplit(text)
        host = address.hostname or ""
    except ValueError:
        return "the host is not a name or a number; check the brackets"
    try:
        port = address.port
    except ValueError:
        return "the port is not a number from 0 to 65535"
    if not host:
        return "the address has no host"
    try:
        if address.scheme in ("http", "https"):
            return _diagnose_http(address)
        with socket.create_connection((host, port or 554), _TIMEOUT):
            return "answers, but gives no video; check the path, user and password"
    except socket.gaierror:
        return "unknown host; check the address and the network"
    except ConnectionRefusedError:
        return "connection refused; is the camera's server running, and is this its port?"
    except TimeoutError:
        return "does not answer; is the camera switched on and in this network?"
    except (ValueError, http.client.InvalidURL):
        return "the address has characters that it may not have; write them as %XX"
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer as a camera does ({' '.join(str(error).split()) or type(error).__name__})"


def _diagnose_http(address: SplitResult) -> str:
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=_TIMEOUT)
    try:
        connection.request("GET", (address.path or "/") + (f"?{address.query}" if address.query else ""))
        answer = connection.getresponse()
        content = answer.headers.get_content_type()
    finally:
        connection.close()
    if answer.status in (401, 403):
        return f"answers “{answer.status} {answer.reason}”; check user and password (http://user:password@…)"
    if answer.status != 200:
        return f"answers “{answer.status} {answer.reason}”; check the path"
    if content.startswith(("multipart/", "video/", "image/")):
        return f"answers with {content}, but no picture in it can be read; is it MJPEG?"
    return f"answers with {content}, not with pictures; give the address of the MJPEG stream itself"
