"""A run on the terminal."""

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, Self

from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..contracts.schemas import FACE
from ..realtime.engine.estimate import Engagement, Estimate, Latency, stages
from ..realtime.features.face.model_file import fetch_face_model, find_face_model
from ..realtime.page.messages import features
from ..realtime.streams.counts import Counts
from ..realtime.streams.samples import Observation
from .styled import StyledConsole
from .summary import dropped_by_reason

if TYPE_CHECKING:
    from ..realtime.run import Run
    from ..realtime.truth import Truth

REDRAW: Final = 0.1  # s
REPORT: Final = 5.0  # s between lines where there is no terminal
HISTORY: Final = 60  # s
_LABELS: Final = 13  # columns
AVERTED: Final = 0.25  # of gaze's −1 to 1
WORTH_SAYING: Final = 0.1  # of an expression's 0 to 1
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_METER: Final = 10  # cells
_ARROWS: Final = ("↙↓↘", "←•→", "↖↑↗")  # gaze in the picture: down, ahead, up


class View:
    """The latest estimate of a run on standard error: a picture on a terminal, elsewhere a line every 5 s.

    A context manager. It draws ten times a second, whatever the rate of estimates. What engagement is known
    to be is shown below the estimate.
    """

    def __init__(self, run: "Run", truth: "Truth | None" = None) -> None:
        self._run, self._truth = run, truth
        self._live = bool(run.source.devices)
        self._schemas = {w.name: w.schema for w in run.wanted}
        self._means: deque[float] = deque(maxlen=HISTORY * run.rate)
        self._latest: tuple[Estimate, Observation] | None = None  # of the first person of a tick
        self._people: dict[int, Estimate] = {}  # the newest of each person, of several
        self._console = StyledConsole(sys.stderr)
        self._screen = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._began = time.perf_counter()
        self._due = self._began + (REDRAW if self._screen else REPORT)

    def __enter__(self) -> Self:
        if self._screen:
            self._screen.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._screen:
            if self._latest:
                self._screen.update(self._picture(*self._latest))
            self._screen.stop()

    def update(self, estimate: Estimate, observation: Observation) -> None:
        """Take the next estimate and its observation, and show it if it is time."""
        if self._run.source.people > 1:
            first = self._latest is None or self._latest[0].tick != estimate.tick
            people = self._people | ({} if estimate.person is None else {estimate.person: estimate})
            self._people = {p: e for p, e in sorted(people.items()) if e.tick >= estimate.tick - 1}
            if not first:
                return
        self._latest = estimate, observation
        self._means.append(estimate.engagement.mean)
        now = time.perf_counter()
        if now < self._due:
            return
        if self._screen:
            self._screen.update(self._picture(estimate, observation), refresh=True)
            self._due = now + REDRAW
        else:
            self._console.print(self._line(estimate), soft_wrap=True)
            self._due = now + REPORT

    def _line(self, estimate: Estimate) -> str:
        if self._people:
            people = "; ".join(f"person {p} {short(e)}" for p, e in self._people.items())
            return f"{self._progress(estimate)}: {people}"
        missing = "".join(f"; {name} missing: {why}" for name, why in self._run.missing.items())
        known = "" if self._truth is None else f"; {self._truth.label} {self._truth.at(estimate.t):.2f}"
        return f"{self._progress(estimate)}: engagement {short(estimate)}{known}{missing}"

    def _progress(self, estimate: Estimate) -> str:
        end = self._run.source.duration
        whole = "" if end is None else f" of {end:.1f}"
        if self._live:
            return f"{estimate.t:.1f}{whole} s"
        speed = (estimate.t - self._run.source.start) / (time.perf_counter() - self._began)
        return f"{estimate.t:.1f}{whole} s, {speed:.1f}× real time"

    def _picture(self, estimate: Estimate, observation: Observation) -> Table:
        width = max(self._console.width - _LABELS, 22)
        picture = Table.grid()
        picture.add_column(min_width=_LABELS, no_wrap=True)
        picture.add_column(no_wrap=True, overflow="crop")
        source = self._run.source
        if self._live:  # devices are open: never without saying so
            picture.add_row("[bold red]● live", Text(f"{self._progress(estimate)}, {devices(self._run)}"))
        else:
            picture.add_row("replay", Text(f"{self._progress(estimate)}, {source.name}"))
        if source.duration is not None:
            length, done = source.duration - source.start, estimate.t - source.start
            picture.add_row("", ProgressBar(length, done, width=width))
        if self._people:
            for person, one in self._people.items():
                picture.add_row(f"[bold]person {person}", interval(one.engagement, width))
                picture.add_row("", present_of(one))
        else:
            self._add_one(picture, estimate, observation, width)
        if isinstance(latency := estimate.latency_ms, Latency):
            shown = [f"{stage} {ms:.{1 if ms >= 1 else 2}f} ms" for stage, ms in stages(latency)]
            picture.add_row("latency", Text("   ".join(shown)))
        if dropped := _dropped(self._run.counts):
            picture.add_row("dropped", Text(dropped))
        return picture

    def _add_one(self, picture: Table, estimate: Estimate, observation: Observation, width: int) -> None:
        """The rows of a single person."""
        picture.add_row("[bold]engagement", interval(estimate.engagement, width))
        if self._truth is not None:
            picture.add_row("truth", _marked(self._truth.at(estimate.t), self._truth.label, width))
        picture.add_row("last minute", Text(self._sparkline(width), style="blue"))
        for modality, there in estimate.present.items():
            age, surprise = estimate.age_ms[modality], estimate.surprise[modality]
            nats = "" if surprise is None else f"   surprise {surprise:.1f} nats"
            state = f"[green]●[/] {age:.0f} ms old{nats}" if there else "[yellow]○[/] missing"
            if self._schemas.get(modality) == FACE.name:
                state += _in_view(estimate)
            picture.add_row(modality, state)
            for line in wrap(self._run.missing.get(modality, ""), width):
                picture.add_row("", Text(line, style="yellow"))
        seen = features(observation.values, self._schemas)
        picture.add_row("head, gaze", Text(_head(seen)))
        picture.add_row("expressions", Text(_expressions(seen)))
        picture.add_row("voice", Text(_voice(seen)))

    def _sparkline(self, width: int) -> str:
        """Means of the last minute, `width` columns for all of it, the newest last."""
        ticks = (self._means.maxlen or 1) / width
        means = list(self._means)
        columns = [means[int(k * ticks) : int((k + 1) * ticks)] for k in range(width)]
        return "".join(_LEVELS[round(sum(c) / len(c) * (len(_LEVELS) - 1))] for c in columns if c)


def short(estimate: Estimate) -> str:
    engagement = estimate.engagement
    present = ", ".join(name for name, there in estimate.present.items() if there) or "nothing"
    return f"{engagement.mean:.2f} ({engagement.low:.2f}–{engagement.high:.2f}), present: {present}"


def present_of(estimate: Estimate) -> Text:
    """Which modalities one of several people has, and why the face is not used."""
    text = Text()
    for modality, there in estimate.present.items():
        text.append("● " if there else "○ ", "green" if there else "yellow").append(f"{modality}   ")
    return text.append(estimate.face_problem or "", "yellow")


def _in_view(estimate: Estimate) -> str:
    """Who is followed, and how many faces there are, where that is no matter of course."""
    if estimate.faces is None or (estimate.faces <= 1 and estimate.person in (None, 1)):
        return ""
    who = "nobody" if estimate.person is None else f"person {estimate.person}"
    return f"   {who}, {estimate.faces} face{'' if estimate.faces == 1 else 's'} in view"


def _head(seen: dict[str, Any]) -> str:
    if seen["yaw_deg"] is None:
        return "–"
    head = "   ".join(f"{axis} {seen[f'{axis}_deg']:+.0f}°" for axis in ("yaw", "pitch", "roll"))
    return f"{head}   gaze {_ARROWS[_third(seen['gaze_y'])][_third(seen['gaze_x'])]}"


def _third(gaze: float) -> int:
    """0, 1 or 2: to the left (down), ahead, to the right (up)."""
    return 1 + (gaze > AVERTED) - (gaze < -AVERTED)


def _expressions(seen: dict[str, Any]) -> str:
    strong = [f"{name} {score:.1f}" for name, score in seen["expressions"] or () if score >= WORTH_SAYING]
    return "   ".join(strong) or "–"


def _voice(seen: dict[str, Any]) -> str:
    if seen["voice"] is None:
        return "–"
    filled = round(min(max(seen["voice"], 0.0), 1.0) * _METER)  # streams may send anything
    return f"{'■' * filled}{'□' * (_METER - filled)}   {seen['level_db']:.0f} dBFS"


def _dropped(counts: Mapping[str, Counts]) -> str:
    reasons = {name: ", ".join(dropped_by_reason(count)) for name, count in counts.items()}
    return "   ".join(f"{name} {dropped}" for name, dropped in reasons.items() if dropped)


def interval(engagement: Engagement, width: int) -> Text:
    """Mean and interval in figures and on a scale from 0 to 1."""
    cells = max(width - 17, 3)
    text = Text(f"{engagement.mean:.2f} ", style="bold")
    for cell in range(cells):
        if cell == min(int(engagement.mean * cells), cells - 1):
            text.append("●", "bold blue")
        elif engagement.low * cells < cell + 1 and cell < engagement.high * cells:
            text.append("━", "blue")
        else:
            text.append("─", "dim")
    return text.append(f" {engagement.low:.2f}–{engagement.high:.2f}", "not bold")


def _marked(value: float, label: str, width: int) -> Text:
    """A value that is known, on the same scale as `interval`."""
    cells = max(width - 17, 3)
    cell, left = min(int(value * cells), cells - 1), f"{label} ▲"
    marked = f"{left:>{cell + 1}}" if cell >= len(left) else f"{' ' * cell}▲ {label}"
    return Text(f"{value:.2f} {marked}")


def devices(run: "Run") -> str:
    """What is open, whether it is lost, and whether pictures or sound are kept."""
    found = run.source.devices
    described = [f"{name} {d.format}{' (lost)' if d.lost else ''}" for name, d in found.items()]
    if run.source.keeps_media:
        kept = " AND ".join(sorted(d.material.upper() for d in found.values() if d.material))
        described.append(f"{kept} ARE KEPT" if kept != "SOUND" else "SOUND IS KEPT")
    return "; ".join(described)


def find_face_model_visibly(explicit: Path | None, offline: bool) -> Path:
    """The face model, with a bar on standard error while it is fetched; see `find_face_model`."""
    return _visibly(partial(find_face_model, explicit, offline=offline))


def fetch_face_model_visibly(source: str) -> Path:
    """Likewise `fetch_face_model`."""
    return _visibly(partial(fetch_face_model, source))


def _visibly(get: Callable[..., Path]) -> Path:
    columns = (TextColumn("fetching the face model"), BarColumn(), DownloadColumn())
    console = StyledConsole(sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=False)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        return get(progress=progress)
