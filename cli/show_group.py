"""Runs a session of several people on the terminal: a row for each, signals, summaries, exit status."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..contracts.console import say
from ..realtime.engine.estimate import Estimate
from .show import problems, signals, warn
from .stats import StatsFile
from .styled import StyledConsole
from .summary import summary
from .view import REDRAW, REPORT, devices, interval, present_of, short

if TYPE_CHECKING:
    from ..realtime.group import Group

_WAIT: Final = 0.1  # s; how often it is looked whether all have ended


def show_group(group: "Group", *, duration: float | None = None, stats: Path | None = None) -> int:
    """Run until the end, a signal, or for `duration` seconds; print the summaries; give the exit status.

    1: a session of one of them ended early, or a device or an output of theirs has failed.
    """
    people = group.people
    newest: dict[str, Estimate] = {}

    def each(name: str, estimate: Estimate) -> None:
        newest[name] = estimate
        if duration is not None and estimate.tick >= duration * people[name].rate:
            people[name].stop()

    with StatsFile(stats, list(people.values())) as stats_file:
        with group:
            for name, session in people.items():
                say(f"{name}: {devices(session)}")
                if session.page is not None:
                    say(f"{name}: page: {session.page.invitation}")
            if group.page is not None:
                say(f"page of all: {group.page.invitation}")
            say("live; Ctrl-C ends it")
            began = time.perf_counter()
            with signals(group.stop):
                group.start(each)
                _watch(group, newest)
            wall = time.perf_counter() - began
        found = {name: [*problems(session, None), *_failure(group, name)] for name, session in people.items()}
        status = int(any(found.values()))
        each_summary = {name: s.summary() | {"problems": found[name]} for name, s in people.items()}
        try:
            stats_file.write({"people": each_summary})
        except OSError as error:
            warn(f"--stats {stats}: cannot be written ({error.strerror})")
            status = 1
    for name, session in people.items():
        for line in [*session.source.notes, *found[name]]:
            say(f"enrapt: {name}: {line}")
    to_output = any(address.split(":")[-1] == "-" for session in people.values() for address in session.to)
    for name, session in people.items():
        say(f"\n{name}\n{summary(session, wall)}", sys.stderr if to_output else sys.stdout)
    return status


def _failure(group: "Group", name: str) -> list[str]:
    """What ended a person's session early, if it is not among the problems of its devices and outputs."""
    session = group.people[name]
    failed = group.failures.get(name)
    return [] if failed is None or failed in session.outputs.failures else [failed]


def _watch(group: "Group", newest: Mapping[str, Estimate]) -> None:
    """Show the newest estimate of each person on standard error until all have ended."""
    console = StyledConsole(sys.stderr)
    if not console.is_terminal:
        due = time.perf_counter() + REPORT
        while group.running:
            group.wait(_WAIT)
            if time.perf_counter() >= due:
                due += REPORT
                texts = [f"{name} {short(newest[name])}" for name in group.people if name in newest]
                console.print("; ".join(texts), soft_wrap=True, markup=False)
        return
    with Live(console=console, auto_refresh=False) as screen:
        while group.running:
            group.wait(REDRAW)
            screen.update(_picture(group, newest, console.width), refresh=True)


def _picture(group: "Group", newest: Mapping[str, Estimate], columns: int) -> Table:
    picture, width = Table.grid(padding=(0, 2)), max(columns - 24, 20)
    running = group.running
    seconds = max((estimate.t for estimate in list(newest.values())), default=0.0)
    picture.add_row(Text("● live", style="bold red"), Text(f"{seconds:.1f} s"))
    for name, session in group.people.items():
        head = Text(name[:20], style="bold")
        if name not in running:
            picture.add_row(head, Text(group.failures.get(name, "has ended"), style="yellow"))
        elif name in newest:
            picture.add_row(head, interval(newest[name].engagement, width))
            picture.add_row("", present_of(newest[name]))
            for modality, why in session.missing.items():
                picture.add_row("", Text(f"{modality}: {why}", style="yellow"))
    return picture
