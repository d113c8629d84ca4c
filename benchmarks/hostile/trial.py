"""One command on one hostile input, in a process of its own with limits, and what it did wrong."""

import contextlib
import csv
import json
import os
import re
import resource
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

LONGEST: Final = 60.0  # s
LARGEST: Final = 1000.0  # MB resident
KILLED_AT: Final = 2000.0  # MB; spares the machine
DISK: Final = 2**30  # bytes; the largest file that a command may write
LOG: Final = "log"  # what the command printed

_LINE: Final = re.compile(r"^enrapt( \w+)?: ", re.MULTILINE)  # argparse names the subcommand
_LOST: Final = re.compile(r"\blost\b")  # `plot`, and JSON of `inspect`, say so in what they print


@dataclass(frozen=True)
class Trial:
    """Attributes:
    label: what was done to the input.
    command: of `enrapt`, without its name.
    outputs: whole under their names afterwards, or absent.
    """

    label: str
    command: list[str]
    outputs: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Result:
    """Attributes:
    status: exit status; minus the signal's number where one ended it.
    wall: s; without the time that it waited for a core, which others had.
    resident: MB, at its highest; with what the process that it was forked from had.
    failures: what is not as it should be.
    """

    status: int
    wall: float
    resident: float
    failures: list[str] = field(default_factory=list)


def run(trial: Trial, folder: Path, *, new: bool = False) -> Result:
    """Run the command in a fork of this process, or in a new one. What it prints is in `folder / LOG`."""
    began = time.monotonic()
    failures: list[str] = []

    def child() -> int:
        os.setsid()  # so that whatever it starts can be killed with it
        return _enrapt(trial.command, folder, new)

    process = forked(child)
    waited = 0.0
    while True:
        ended, state, usage = os.wait4(process, os.WNOHANG)
        if ended:
            break
        waited = max(waited, _waited(process))
        if not failures:
            if time.monotonic() - began - waited > LONGEST:
                failures.append(f"runs for more than {LONGEST:.0f} s")
            elif _resident(process) > KILLED_AT:
                failures.append(f"takes more than {KILLED_AT:.0f} MB")
            if failures:
                _kill(process)
        time.sleep(0.01)
    _kill(process)  # what it may have left running
    peak = usage.ru_maxrss * 1024 / 1e6
    result = Result(os.waitstatus_to_exitcode(state), time.monotonic() - began - waited, peak, failures)
    if not failures:
        failures += wrong(result, trial, folder)
    return result


def forked(work: Callable[[], int]) -> int:
    """Call a function in a fork of this process; its return value is the exit status. Gives the process."""
    if process := os.fork():
        return process
    status = 99
    try:
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def _enrapt(command: list[str], folder: Path, new: bool) -> int:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK, DISK))
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    if new:
        _replace(command)
    from enrapt.cli.main import main

    try:
        return main(command)
    except SystemExit as end:  # argparse's
        return end.code if isinstance(end.code, int) else 1


def _replace(command: list[str]) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", "enrapt.cli.main", *command])


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _waited(process: int) -> float:
    """s that a process was ready to run and did not, as no core was free; of the thread that waited most."""
    waits = [0]
    with contextlib.suppress(OSError, IndexError, ValueError):  # it has ended
        for thread in Path(f"/proc/{process}/task").iterdir():
            waits.append(int((thread / "schedstat").read_text().split()[1]))
    return max(waits) / 1e9


def _resident(process: int) -> float:
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0.0
    return int(pages) * resource.getpagesize() / 1e6


def wrong(result: Result, trial: Trial, folder: Path) -> list[str]:
    """What is wrong with a command that ended by itself."""
    failures = []
    log = (folder / LOG).read_text(errors="replace")
    if result.status not in (0, 1, 2):
        failures.append(f"exit status {result.status}")
    elif result.status and not _LINE.search(log) and not (result.status == 1 and _LOST.search(log)):
        failures.append(f"exit status {result.status} without a line")
    if "Traceback (most recent" in log:
        failures.append(f"traceback: {log.strip().splitlines()[-1]}")
    if result.resident > LARGEST:
        failures.append(f"{result.resident:.0f} MB")
    if any(folder.rglob("PWNED*")):  # see `training`
        failures.append("the input ran a command, or left its folder")
    for output in trial.outputs:
        if output.with_name(f"{output.name}.part").exists():
            failures.append(f"{output.name} left as .part")
        if output.exists() and (why := _broken(output)):
            failures.append(f"{output.name}: {why}")
    return failures


def _broken(output: Path) -> str | None:
    """Why an output is not whole, or has numbers that are not finite."""
    if not stat.S_ISREG(output.lstat().st_mode):
        return None
    try:
        match output.suffix:
            case ".jsonl":
                for line in output.read_text().splitlines():
                    json.loads(line, parse_constant=_refused)
            case ".csv":
                with output.open(newline="") as file:
                    rows = list(csv.reader(file))
                if any(len(row) != len(rows[0]) for row in rows):
                    return "rows of different lengths"
                if any(cell in ("nan", "inf", "-inf") for row in rows for cell in row):
                    return "a number is not finite"
            case ".parquet":
                import pyarrow.parquet

                pyarrow.parquet.read_table(output)
            case ".html" if not output.read_text().rstrip().endswith("</html>"):
                return "cut"
            case ".png" if not output.read_bytes().endswith(b"IEND\xaeB`\x82"):
                return "cut"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
