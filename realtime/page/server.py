"""An output that serves the page in the browser, and estimates over HTTP and WebSocket.

The server is a process of its own (`process`): its clients, however many and whatever they do, take nothing
from the interpreter that runs the model. The run's thread puts each tick into a bounded queue and continues;
a thread takes it from there and writes it to the process. Commands of clients come back.
"""

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from ...contracts.errors import UserError, one_line
from ..sources.child import send
from ..streams.mailbox import Mailbox
from .hosts import is_loopback, reachable
from .listener import listening
from .messages import Command, Passed
from .observed import Observed
from .options import TOKEN
from .view import View

CONNECTIONS: Final = 200  # half of them may be WebSockets
WAITING: Final = 1500  # ticks and marks that wait for the page's process; a minute of them
BACK_OFF: Final = (0.5, 30.0)  # s between two starts of the process: the first, doubled up to the second
LEAVING: Final = 2.0  # s that the process has at the end for what waits, and to close its clients
_WATCH: Final = 0.1  # s between two looks at the process while there are no ticks


class PageServer(View):
    """An `Output` that shows and controls a run, or several. It never waits for the page's process.

    Of one run it is the `View` itself; of the runs of several people `views` has one for each.

    A process that ends before the run does is started again, with back-off. Until then connections wait, and
    so do the newest ticks.

    Args:
        host: where to listen. Where clients of another machine can connect, they need a token.
        port: 0 for any free port.
        origins: of other sites whose pages may connect, as `options.origin_of` gives them.
        token: that clients need; without one, it is made up where it is needed.
        people: names, where several runs are shown.

    Attributes:
        address: of the page, for a browser on another machine, too, if that can connect. It contains the
            token if that was made up.
        invitation: the address, and what else a person needs to open it.
        counts: captured = used (written to the process) + dropped + waiting, of estimates and marks; `full`:
            the process was too slow, `failed`: it had ended.
        warn: called with a line, from a thread, when the process has ended by itself.

    Raises:
        UserError: the port is in use, or there is no such host.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        origins: Sequence[str] = (),
        token: str | None = None,
        people: Sequence[str] = (),
    ) -> None:
        self._mailbox: Mailbox[bytes] = Mailbox(WAITING * max(1, len(people)))
        super().__init__(self._mailbox.put)
        self.views: Mapping[str, View] = {name: View(self._mailbox.put, name) for name in people} or {
            "": self
        }
        self._listener = listening(host, port)
        port = int(self._listener.getsockname()[1])
        made_up = None if token is not None or is_loopback(host) else secrets.token_urlsafe(16)
        self.address = _address(reachable(host), port, made_up)
        self.invitation = self.address + (" (with ?token= and your token)" if token is not None else "")
        self._request = {
            "port": port,
            "token": token if made_up is None else made_up,
            "origins": list(origins),
            "limit": _limit(),
            "people": list(people),
        }
        self.counts = self._mailbox.counts
        self.warn: Callable[[str], None] = print
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="enrapt page", daemon=True)
        self._thread.start()

    def close(self, complete: bool) -> None:
        """Send what waits and stop serving. A second call does nothing."""
        self._mailbox.close()
        self._closed.set()
        self._thread.join(LEAVING)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()  # it reads no more
            self._thread.join(LEAVING)

    # The rest runs in threads of its own.

    def _keep(self) -> None:
        """Keep a process that serves the page, until `close`."""
        pause, longest = BACK_OFF
        while True:
            began = time.monotonic()
            reason = self._serve()
            if self._mailbox.closed:
                break
            if time.monotonic() - began > longest:
                pause = BACK_OFF[0]
            if pause == BACK_OFF[0]:  # not each time, where it ends at once
                self.warn(f"the page has ended: {reason}; it is started again")
            if self._closed.wait(pause):
                break
            pause = min(2 * pause, longest)
        self._mailbox.clear("failed")
        self._listener.close()

    def _serve(self) -> str:
        """Start a process and write to it, until it ends or there is nothing more to write; why it ended."""
        try:
            process = self._start()
        except OSError as error:
            return f"cannot start a process: {error}"
        reasons: list[str] = []
        with process:
            self._process = process
            reading = threading.Thread(target=self._read, args=[process, reasons], daemon=True)
            reading.start()
            self._feed(process)
            assert process.stdin is not None
            process.stdin.close()
            try:
                status = process.wait(LEAVING)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
            reading.join()
        return reasons[0] if reasons else f"signal {-status}" if status < 0 else f"exit status {status}"

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", f"{__package__}.process"]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        environment = {name: value for name, value in os.environ.items() if name != TOKEN}
        inherited = [] if sys.platform == "win32" else [self._listener.fileno()]
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=nothing, env=environment, pass_fds=inherited
        )
        assert process.stdin is not None
        shared: int | str = self._listener.fileno()
        if sys.platform == "win32":
            shared = base64.b64encode(self._listener.share(process.pid)).decode()
        with contextlib.suppress(OSError):  # it has ended
            send(process.stdin.fileno(), json.dumps({**self._request, "listener": shared}).encode() + b"\n")
        return process

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Write to the process until it ends, or the mailbox is closed and empty."""
        assert process.stdin is not None
        pipe, described = process.stdin.fileno(), dict[str, bytes]()
        while process.poll() is None:
            message = self._mailbox.get(timeout=_WATCH)
            try:
                for name, view in self.views.items():
                    if view.description is not None and described.get(name) is not view.description:
                        described[name] = view.description
                        send(pipe, view.description)
                send(pipe, message or b"")
            except OSError:  # it has ended
                if message is not None:
                    self._mailbox.lose("failed")
                return
            if message is None and self._mailbox.closed:
                return

    def _read(self, process: subprocess.Popen[bytes], reasons: list[str]) -> None:
        """Call the run's methods as clients ask for, until the process ends; or else end it, and say why."""
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(b'{"error"'):
                    reasons.append(json.loads(line)["error"])
                    process.kill()
                else:
                    passed = msgspec.json.decode(line, type=Passed)
                    if (run := self.views[passed.name].run) is not None:
                        _call(run, passed.command)
        except Exception as error:
            reasons.append(one_line(f"{type(error).__name__}: {error}"))
            process.kill()


def _call(run: Observed, command: Command) -> None:
    with contextlib.suppress(UserError):  # it cannot do that
        if command.do == "mark":
            run.mark(command.label)
        elif command.person is not None:
            run.follow(command.person)
        else:
            getattr(run, command.do)()


def _address(host: str, port: int, token: str | None) -> str:
    host = f"[{host.replace('%', '%25')}]" if ":" in host else host  # RFC 6874: `%` is before a zone
    return f"http://{host}:{port}/" + ("" if token is None else f"?token={token}")


def _limit() -> int:
    """How many connections there may be, so that the page's process can still open files."""
    if sys.platform == "win32":
        return CONNECTIONS
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CONNECTIONS if files == resource.RLIM_INFINITY else max(2, min(CONNECTIONS, files // 2))
