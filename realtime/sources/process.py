"""A device that belongs to a process of its own, which is started anew whenever it ends or hangs.

Calls into a driver cannot be interrupted and some hang for good; a process can be ended whatever its
libraries are doing. One thread reads what the process says, and starts it anew with a growing pause; another
one ends it when its patience is over, for reading from a pipe has no time-out.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final, Literal

BACK_OFF: Final = (0.2, 2.0)  # s between two starts of the process: at first, doubled up to

_WATCH: Final = 0.05  # s; how often the process is looked at
_LEAVING: Final = 2.0  # s for each thread: in a driver that hangs, even SIGKILL may not reach a process


@dataclass(frozen=True, slots=True)
class DeviceState:
    """Attributes:
    name: `open` while something new comes, `lost` while nothing does.
    since: ns on the session's clock; originating time of the first or the last that came.
    """

    name: Literal["open", "lost"]
    since: int


class DeviceProcess:
    """The process of a device, from `start` to `stop`.

    A line of JSON goes in, for addresses hold passwords, and arguments are in every list of processes. A line
    of JSON comes out, `{"error": …}` or what the device is; then whatever the device gives.

    Args:
        name: of the device, for its threads.
        module: in this folder; run with `python -m`.
        asked: what the process is told.
        opening: s that it has for its first line.
        read: takes that line and the pipe, reads what one life of the process gives, and tells why it ended.
            It calls `patience` whenever there is hope, and `opened` once the device gives something.
        lost: called when a life has ended.

    Attributes:
        stopped: set from `stop` on.
        restarts: how often it was started anew.
    """

    def __init__(
        self,
        name: str,
        module: str,
        asked: dict[str, Any],
        opening: float,
        read: Callable[[dict[str, Any], IO[bytes]], str],
        lost: Callable[[], None],
    ) -> None:
        self._name = name
        self._command = [sys.executable, "-P", "-m", f"enrapt.realtime.sources.{module}"]
        self._asked = json.dumps(asked).encode() + b"\n"
        self._opening, self._read, self._lost = opening, read, lost
        self.stopped = threading.Event()
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = 0.0  # monotonic s; when the process counts as hanging
        self._settled = threading.Event()  # opened, or refused
        self._refused: str | None = None
        self._threads = [
            threading.Thread(target=target, name=f"enrapt {name} {what}", daemon=True)
            for what, target in {"reader": self._run, "watch": self._watch}.items()
        ]

    def start(self) -> str | None:
        """Wait until the device gives something; otherwise tell why the process ended: `silent` if it does
        not say."""
        for thread in self._threads:
            thread.start()
        self._settled.wait()
        return self._refused

    def stop(self) -> None:
        """Process and threads have ended after it."""
        self.stopped.set()
        self._end()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_LEAVING)

    def patience(self, seconds: float) -> None:
        """Unless it is told this again within so many seconds, the process counts as hanging."""
        self._deadline = time.monotonic() + seconds

    def opened(self) -> None:
        """The device gives something."""
        self._settled.set()

    def _run(self) -> None:
        pause, longest = BACK_OFF
        while not self.stopped.is_set():
            began = time.monotonic()
            ending = self._live()
            if not self._settled.is_set():
                self._refused = ending
                self._settled.set()
                return
            self._lost()
            if time.monotonic() - began > longest:
                pause = BACK_OFF[0]
            if self.stopped.wait(max(0.0, began + pause - time.monotonic())):
                return
            pause = min(2 * pause, longest)
            self.restarts += 1

    def _live(self) -> str:
        """One life of the process; why it ended."""
        pipe = subprocess.PIPE
        self.patience(self._opening)
        try:
            process = subprocess.Popen(
                self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, pipesize=1 << 20
            )
        except OSError as error:
            return f"{self._name}: cannot start a process: {error}"
        with process:
            self._process = process
            if self.stopped.is_set():  # it was set before there was a process to end
                process.kill()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                # Unbuffered: nothing is left to fail at closing. Whoever ended at once is silent.
                with contextlib.suppress(BrokenPipeError):
                    os.write(process.stdin.fileno(), self._asked)
                try:
                    told = json.loads(process.stdout.readline())
                except ValueError:  # nothing, or something else than the process wrote the line
                    return "silent"
                return str(told["error"]) if "error" in told else self._read(told, process.stdout)
            finally:
                process.kill()

    def _watch(self) -> None:
        woke = time.monotonic()
        while not self.stopped.wait(_WATCH):
            before, woke = woke, time.monotonic()
            if woke - before > 3 * _WATCH:
                continue  # the whole program stood still, which says nothing of the device
            if woke > self._deadline:
                self._end()

    def _end(self) -> None:
        if (process := self._process) is not None:
            process.kill()
