"""Devices whose driver runs in a child process, which is restarted whenever it ends or hangs."""

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import IO, Any, Final

from ...contracts.errors import UserError
from .device import Device

BACK_OFF: Final = (0.2, 2.0)  # s between two starts of the process: the first, doubled up to the second

_WATCH: Final = 0.05  # s between two looks at the deadline
_JOIN: Final = 2.0  # s for each thread: in a driver that hangs, even SIGKILL may not reach a process


class ProcessDevice(Device):
    """A device in a child process: a driver call cannot be interrupted, a process can be killed.

    One line of JSON goes in (not arguments, which every list of processes shows: addresses hold passwords).
    One line of JSON comes out, `{"error": …}` or the properties of the device, then its data.

    The device's thread starts the child, reads its data and restarts it with exponential back-off. A second
    thread kills a child that misses its deadline, because reading from a pipe has no time-out. A subclass
    implements `_read` and `_diagnose`.

    Args:
        module: of the child, in this folder; run with `python -m`.
        request: what the child reads first.
        opening: s until its first line.
    """

    def __init__(self, module: str, request: dict[str, Any], opening: float) -> None:
        super().__init__()
        self._module, self._request, self._opening = module, request, opening
        self._stopped = threading.Event()
        self._settled = threading.Event()  # data came, or the device was refused
        self._refused: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = math.inf  # monotonic s; after it the process counts as hanging
        self._threads: list[threading.Thread] = []

    @abstractmethod
    def _read(self, properties: dict[str, Any], pipe: IO[bytes]) -> str:
        """Read the data of one child process until it ends, and return why it ended.

        It calls `_received` for new data, and `_expect` with the seconds until the next.
        """

    @abstractmethod
    def _diagnose(self, reason: str) -> str:
        """One line for the user: why it could not be opened. `reason` is `_read`'s, the child's error, or
        `silent`: it ended or hung without an answer."""

    def _open(self) -> None:
        for target, what in ((self._follow, ""), (self._watch, " watch")):
            name = f"enrapt {self.name}{what}"
            thread = threading.Thread(target=self._run, args=(target,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        self._settled.wait()
        if self._refused is not None:
            raise UserError(self._diagnose(self._refused))

    def close(self) -> None:
        self._stopped.set()
        self._kill()
        for thread in self._threads:
            thread.join(_JOIN)

    def _received(self) -> None:
        """New data came."""
        self._lost = False
        self._settled.set()

    def _expect(self, seconds: float) -> None:
        """Kill the child unless this is called again within so many seconds; infinite while the device's
        thread is busy with something else than waiting for the child."""
        self._deadline = time.monotonic() + seconds

    def _send(self, data: bytes) -> None:
        """Write to the child's standard input; unbuffered, so that nothing is left to fail at closing."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # a child that has ended shows at reading
                os.write(self._process.stdin.fileno(), data)

    def _run(self, target: Callable[[], None]) -> None:
        """Each of the threads: when one fails, so does the device."""
        try:
            target()
        except BaseException as error:
            self._stopped.set()
            self._kill()
            self._inlet.fail(error)
        finally:
            self._lost = True
            self._settled.set()

    def _follow(self) -> None:
        pause, longest = BACK_OFF
        while not self._stopped.is_set():
            began = time.monotonic()
            reason = self._run_process()
            if not self._settled.is_set():
                self._refused = reason
                return
            self._lost = True
            if time.monotonic() - began > longest:
                pause = BACK_OFF[0]
            if self._stopped.wait(max(0.0, began + pause - time.monotonic())):
                return
            pause = min(2 * pause, longest)
            self.restarts += 1

    def _run_process(self) -> str:
        """Run one child process to its end; return why it ended."""
        command = [sys.executable, "-P", "-m", f"enrapt.realtime.sources.{self._module}"]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        self._expect(self._opening)
        try:
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, pipesize=1 << 20)
        except OSError as error:
            return f"cannot start a process: {error}"
        with process:
            self._process = process
            if self._stopped.is_set():  # it was set before there was a process to kill
                process.kill()
            assert process.stdout is not None
            try:
                self._send(json.dumps(self._request).encode() + b"\n")
                try:
                    properties = json.loads(process.stdout.readline())
                except ValueError:  # nothing, or not written by our module
                    return "silent"
                if "error" in properties:
                    return str(properties["error"])
                return self._read(properties, process.stdout)
            finally:
                process.kill()

    def _watch(self) -> None:
        woke = time.monotonic()
        while not self._stopped.wait(_WATCH):
            before, woke = woke, time.monotonic()
            if woke - before > 3 * _WATCH:
                continue  # the whole program was suspended, not only the device
            if woke > self._deadline:
                self._kill()

    def _kill(self) -> None:
        if (process := self._process) is not None:
            process.kill()
