"""The child's side of a `ProcessDevice`, and of the page. Imports little: a child may start often."""

import json
import os
import signal
import threading
from io import FileIO
from typing import Any


def begin() -> tuple[dict[str, Any], threading.Semaphore, int]:
    """Read the parent's request; the process ends when its standard input does.

    Returns:
        The request; a semaphore that each further byte of standard input releases; the descriptor of the pipe
        to the parent.
    """
    requests, out = open_pipes()
    request = json.loads(requests.readline())
    credit = threading.Semaphore(0)

    def read_credit() -> None:
        while received := requests.read(64):
            credit.release(len(received))
        os._exit(0)  # the parent has ended

    threading.Thread(target=read_credit, daemon=True).start()
    return request, credit, out


def open_pipes() -> tuple[FileIO, int]:
    """Standard input, of which no byte is read ahead, and the descriptor of the pipe to the parent.

    Drivers write where they like: what they write on standard output goes to standard error, which the
    parent discards. Signals of a terminal or a service manager reach all processes; the parent decides.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # not all on Windows
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    out = os.dup(1)
    os.dup2(2, 1)
    return FileIO(0), out


def say(out: int, message: dict[str, Any]) -> None:
    """Send the first line: the device's properties, or an error."""
    send(out, json.dumps(message).encode() + b"\n")


def send(out: int, data: Any) -> None:
    """Send bytes; OSError if the parent reads no more."""
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
