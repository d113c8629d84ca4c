"""The child's side of a `ProcessDevice`. Imports little: it starts whenever a device is lost."""

import json
import os
import signal
import threading
from typing import Any


def begin() -> tuple[dict[str, Any], threading.Semaphore, int]:
    """Read the parent's request; the process ends when its standard input does.

    Drivers write where they like: what they write on standard output goes to standard error, which the
    parent discards.

    Returns:
        The request; a semaphore that each further byte of standard input releases; the descriptor of the pipe
        to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the parent decides
    out = os.dup(1)
    os.dup2(2, 1)
    requests = open(0, "rb", buffering=0)  # noqa: SIM115  (a descriptor; no byte is read ahead)
    request = json.loads(requests.readline())
    credit = threading.Semaphore(0)

    def read_credit() -> None:
        while received := requests.read(64):
            credit.release(len(received))
        os._exit(0)  # the parent has ended

    threading.Thread(target=read_credit, daemon=True).start()
    return request, credit, out


def say(out: int, message: dict[str, Any]) -> None:
    """Send the first line: the device's properties, or an error."""
    send(out, json.dumps(message).encode() + b"\n")


def send(out: int, data: Any) -> None:
    """Send bytes; OSError if the parent reads no more."""
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
