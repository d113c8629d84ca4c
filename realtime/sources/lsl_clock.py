"""The clock of another machine, followed by Lab Streaming Layer, so that sessions of several can be joined.

Every machine that records follows the clock of the machine that sends one stream, by its name. What is
measured is written to `clock.csv` in the session's folder, a row every two seconds:

`time`: s, on the session's axis; `reference`: s, at that moment on LSL's clock of that machine, as liblsl
measures it (round trips of UDP); `host`: that machine's name.
"""

import threading
from pathlib import Path
from typing import Any, Final, Self, TextIO

from ...contracts.addresses import without_password
from ...contracts.errors import UserError, one_line
from ..store.private import private
from ..streams.lsl import pylsl
from ..streams.samples import SECOND
from .live import LiveSource
from .lsl import OPENING, resolved, shift_of

HEADER: Final = "time,reference,host"
EVERY: Final = 2.0  # s; as often as liblsl measures


class LslClock:
    """Writes the file while a source runs. A context manager.

    The stream may come later, vanish and return: while it is away nothing is measured.

    Attributes:
        rows: how often the clocks were compared.

    Raises:
        UserError: the address is not one of LSL; on entering, the file cannot be written.
    """

    def __init__(self, address: str, path: Path, source: LiveSource) -> None:
        scheme, _, self._name = address.partition(":")
        if scheme != "lsl" or not self._name or ("'" in self._name and '"' in self._name):
            raise UserError(f"--clock {without_password(address)}: give lsl:NAME, the name of a stream")
        self._path, self._source = path, source
        self._shift = shift_of(source.session_clock)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="enrapt lsl clock", daemon=True)
        self.rows = 0

    def __enter__(self) -> Self:
        try:
            self._file: TextIO = open(self._path, "x", encoding="utf-8", opener=private)
            print(HEADER, file=self._file, flush=True)
        except OSError as error:
            raise UserError(f"{self._path}: cannot be written ({error.strerror})") from None
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(OPENING)
        self._file.close()
        if not self.rows:
            self._path.unlink(missing_ok=True)
            if self._source.zero is not None:
                self._source.warn(f"--clock lsl:{self._name}: no such stream was found: it cannot be joined")

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                if infos := resolved(self._name, 1.0):
                    self._follow(infos[0])
                self._stopped.wait(0.5)
        except OSError as error:  # the session goes on without it
            self._source.warn(f"{self._path}: cannot be written any more ({error.strerror})")

    def _follow(self, info: Any) -> None:
        """Compare the clocks until the stream ends."""
        stream = pylsl.StreamInlet(info, max_buflen=1, recover=False)
        host = one_line(info.hostname()).replace(",", " ")
        try:
            while not self._stopped.is_set():
                correction = stream.time_correction(OPENING)  # from that clock to this machine's
                local, zero = pylsl.local_clock(), self._source.zero
                if zero is not None and not self._stopped.is_set():
                    time = local + (self._shift - zero) / SECOND
                    print(f"{time:.6f},{local - correction:.6f},{host}", file=self._file, flush=True)
                    self.rows += 1
                if self._stopped.wait(EVERY if zero is not None else 0.05):
                    return
        except RuntimeError:  # pylsl's: lost, or it does not answer
            pass
        finally:
            stream.close_stream()
